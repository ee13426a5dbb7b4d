//! How a loop ends: everything that is pending is dropped, in order, each thing under a guard.

use std::mem;
use std::rc::Rc;

use super::current;
use super::exceptions::ExceptionContext;
use super::ready::Run;
use super::state::{Life, LoopState};
use crate::tasks::TaskHandle;

/// How often a closing loop looks again for what the `Drop`s of its leftovers have scheduled.
const CLOSING_ROUNDS: usize = 1000;

impl LoopState {
    /// Drops everything that is pending, exactly once, and refuses everything from then on.
    ///
    /// Coroutines go first, in the order in which their tasks were made, then ready callbacks, what
    /// threads posted, timers, and futures that only their callbacks keep. All the while the loop accepts what
    /// their `Drop`s schedule, cancel or complete, and drops that in turn. When nothing of that is left, what was
    /// bound to the loop goes.
    pub(super) fn close(self: &Rc<Self>) {
        if self.life.get() != Life::Open {
            return;
        }
        self.life.set(Life::Closing);
        self.closed_in.set(current::run_site());
        self.set_has_hook(false);
        let entered = current::enter(Some(self.clone()));
        for _ in 0..CLOSING_ROUNDS {
            if !self.drop_pending() && !self.threads.unbind_all(self) {
                break;
            }
        }
        self.life.set(Life::Closed);
        self.refresh_push();
        // If a `Drop` never stops scheduling, this is the end of it.
        self.drop_pending();
        current::forget_local(self.id);
        let posted = self.remote.get().map(|remote| remote.mailbox.close());
        for item in posted.into_iter().flatten() {
            self.drop_user(item);
        }
        self.threads.close(self);
        if let Some(remote) = self.remote.get() {
            self.guard("drop of a wake-up hook", self.site, || {
                remote.set_hook(None)
            });
        }
        self.set_exception_handler_on_close();
        self.tell_closed();
        drop(entered);
    }

    /// One round of dropping; says whether there was anything.
    fn drop_pending(self: &Rc<Self>) -> bool {
        let tasks = self.tasks.borrow().all();
        for task in &tasks {
            task.clone().abandon();
        }
        let spare = self.tasks.borrow_mut().take_spare();
        drop(spare);
        let ready = self.ready.borrow_mut().take();
        self.observers.discarded();
        let mail = mem::take(&mut *self.mail.borrow_mut());
        let timers = self.timers.borrow_mut().drain();
        let orphans = self.orphans.take();
        let any =
            !(tasks.is_empty() && ready.is_empty() && timers.is_empty() && orphans.is_empty());
        for entry in ready {
            self.drop_user(Discard(&*entry));
        }
        for item in mail {
            self.drop_user(item);
        }
        for timer in timers {
            self.drop_user(Discard(&*timer));
        }
        let mut orphans: Vec<_> = orphans.into_values().collect();
        orphans.sort_unstable_by_key(|&(number, _)| number);
        for (_, orphan) in orphans {
            orphan.base().orphaned.set(false);
            self.guard("drop", self.site, || orphan.discard());
        }
        self.drop_user(tasks);
        any
    }

    /// Drops something of a user's; a panic is reported.
    pub(crate) fn drop_user<T>(self: &Rc<Self>, value: T) {
        self.guard("drop", self.site, move || drop(value));
    }

    /// The handler goes last, for it heard of the drops; it may hold the loop itself.
    fn set_exception_handler_on_close(self: &Rc<Self>) {
        let handler = self.exception_handler.borrow_mut().take();
        self.drop_user(handler);
    }

    /// Reports a task that the loop had to drop before it was done.
    pub(crate) fn report_abandoned(self: &Rc<Self>, task: TaskHandle) {
        if task.any().base().expendable.get() {
            return;
        }
        self.report(&ExceptionContext::new("task was destroyed but it is pending").with_task(task));
    }
}

/// Discards a callback when it is dropped.
struct Discard<'a, R: Run + ?Sized>(&'a R);

impl<R: Run + ?Sized> Drop for Discard<'_, R> {
    fn drop(&mut self) {
        self.0.discard();
    }
}
