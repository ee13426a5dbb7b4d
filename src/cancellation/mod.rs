//! Cancellation: a request that unwinds a coroutine, and the scopes that catch it.
//!
//! `cancel()` asks a task to stop. The request is passed on to whatever the task awaits; when that
//! ends cancelled, or if there is nothing to take it, the task *raises* it: the innermost
//! [`catch_cancel`] (or timeout, or task group) around the await drops what it runs and goes on with
//! a [`CancelledError`]; with none the whole coroutine is dropped, and the task ends cancelled.

mod catch;
mod error;
mod run_in;
mod scope;
mod slot;

pub use self::catch::{CatchCancel, catch_cancel};
pub use self::error::{CancelOrigin, CancelledError};

pub(crate) use self::run_in::{Ended, RunIn};
pub(crate) use self::scope::{Raise, Scope, ScopeId};
pub(crate) use self::slot::{ScopeRef, ScopeSlot};
