//! The driver: what is done with the loop from outside, and the closing report.

use std::rc::Rc;

use callsoon::{Clock, EventLoop, RunEnd, RunError};

use super::items::Item;
use super::program::{Phase, Program};
use super::values::{names, sorted_names};
use super::world::{Actor, Event, World};

/// Runs a program, and gives its trace.
pub(crate) fn run(program: Program) -> Vec<Event> {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    let mut phases = program.driver.clone();
    if phases.is_empty() {
        phases.push(Phase::RunUntilComplete {
            r#ref: "main".to_owned(),
        });
    }
    let world = Rc::new(World::new(program, event_loop.handle()));
    let driver = Driver {
        event_loop: &event_loop,
        actor: Actor::new(&world, "drv"),
    };
    for phase in &phases {
        driver.phase(phase);
    }
    report(Actor::new(&world, "end"));
    world.finish()
}

struct Driver<'a> {
    event_loop: &'a EventLoop,
    actor: Actor<'a>,
}

impl Driver<'_> {
    fn phase(&self, phase: &Phase) {
        match phase {
            Phase::RunUntilComplete { r#ref } => self.run_named(r#ref),
            Phase::RunForever => self.run_forever(),
            Phase::Ops { ops } => self.actor.act_all(ops),
            Phase::CancelAll => self.cancel_all(),
        }
    }

    fn run_named(&self, name: &str) {
        let world = self.actor.world;
        if name == "main" && world.items.get(name).is_none() {
            world.spawn(world.program.main.clone(), name);
        }
        if let Some(item) = self.actor.find("run_until_complete", name) {
            self.run_until_complete(item, &format!("run_until_complete {name}"));
        }
    }

    fn run_until_complete(&self, item: Item, label: &str) {
        let end = self.event_loop.run_until_complete(item);
        self.actor.log(match end {
            Ok(Ok(value)) => format!("{label} = {value}"),
            Ok(Err(exc)) => format!("{label} !{exc}"),
            Err(RunError::Cancelled(_)) => format!("{label} !Cancelled"),
            Err(RunError::Deadlock(_)) => format!("deadlock {}", self.waiting()),
            Err(RunError::Stopped) => format!("{label} stopped"),
            Err(other) => format!("{label} !{other}"),
        });
    }

    /// The names of the tasks that are not done.
    fn waiting(&self) -> String {
        let unfinished = self.actor.world.unfinished().into_iter();
        sorted_names(unfinished.map(|(name, _)| name).collect())
    }

    fn run_forever(&self) {
        let end = match self.event_loop.run_forever() {
            RunEnd::Idle(_) => "idle",
            RunEnd::Stopped => "stopped",
        };
        self.actor.log(format!("run_forever {end}"));
    }

    fn cancel_all(&self) {
        let (unfinished, tasks): (Vec<_>, Vec<_>) =
            self.actor.world.unfinished().into_iter().unzip();
        self.actor.log(format!("cancel_all {}", names(&unfinished)));
        if tasks.is_empty() {
            return;
        }
        for task in &tasks {
            task.cancel(None);
        }
        self.run_until_complete(Item::gather(tasks, true), "cancel_all");
    }
}

/// How everything ended.
fn report(end: Actor<'_>) {
    for name in end.world.items.names() {
        if let Some(item) = end.world.items.get(&name) {
            end.log(format!("{name} {}", item.state()));
        }
    }
    end.log(format!("time {}", end.world.now()));
}
