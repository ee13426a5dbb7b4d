//! The interpreter: runs one program on a fresh loop with a virtual clock, and gives its trace.

mod actions;
mod driver;
mod items;
mod meetings;
mod objects;
mod program;
mod steps;
mod values;
mod world;

pub(crate) use self::driver::run;
pub(crate) use self::program::Program;
pub(crate) use self::world::Event;
