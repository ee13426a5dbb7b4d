//! What the ready queue holds: anything that runs once.
//!
//! An entry is one pointer to one allocation, made when the callback was scheduled or the task was
//! created; queueing allocates nothing.

use std::pin::Pin;
use std::rc::Rc;

use super::remote::Posted;
use super::state::LoopState;
use crate::tasks::Stepper;

/// An entry of the ready queue.
pub(crate) type Ready = Pin<Rc<dyn Run>>;

/// Something that can be ready: a callback, a timer that is due, a done-callback, a step of a task.
pub(crate) trait Run {
    /// Runs it. A panic of user code comes out of it.
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, stepper: &mut Stepper<'_>);

    /// What it is, for reports.
    fn what(&self) -> String;

    /// Drops the closure that will not be called, because the loop closes.
    fn discard(&self) {}
}

/// The entry that stands for the next item of the loop's mail. There is one per loop, queued as
/// often as there are items.
pub(super) struct NextMail;

impl Run for NextMail {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(None);
        let posted = lp.mail.borrow_mut().pop_front();
        match posted {
            Some(Posted::Call(callback)) => callback(),
            Some(Posted::Stop) => lp.stopping.set(true),
            Some(Posted::Wake(waker)) => {
                waker.received();
                lp.wake(waker.key());
            }
            None => {}
        }
    }

    fn what(&self) -> String {
        "callback posted by another thread".to_owned()
    }
}
