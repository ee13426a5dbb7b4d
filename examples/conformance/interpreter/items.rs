//! What a program can await: futures, tasks, gathers and shields, in one table whatever they give.
//!
//! An [`Item`] is itself something that can be awaited, gathered, shielded and waited for.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use callsoon::{
    Awaitable, Awaited, CallbackId, CancelOrigin, CancelledError, Future, FutureHandle, LoopHandle,
    ResultError, Task, TaskHandle, Waitable, Waited, current_task, gather_outcomes, try_gather,
};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::values::{Exc, Out, State, Value};

/// Something that can be awaited.
#[derive(Clone)]
pub(super) struct Item {
    future: Rc<dyn AnyFuture>,
    kind: Kind,
}

/// What made it, where that matters.
#[derive(Clone)]
enum Kind {
    Promise(Future<Out>),
    Task(TaskHandle),
    Gather,
    Shield {
        inner: Box<Item>,
        /// What asyncio shields is done: it gives that back, and no shield.
        needless: bool,
    },
}

/// Makers.
impl Item {
    pub(super) fn promise(future: Future<Out>) -> Self {
        Self::new(&future, Kind::Promise(future.clone()))
    }

    pub(super) fn task(task: &Task<Out>) -> Self {
        Self::new(task, Kind::Task(task.handle()))
    }

    pub(super) fn gather(children: Vec<Item>, return_exceptions: bool) -> Self {
        if return_exceptions {
            return Self::new(&gather_outcomes(children), Kind::Gather);
        }
        Self::new(&try_gather(children), Kind::Gather)
    }

    pub(super) fn shield(inner: Item) -> Self {
        let needless = inner.done();
        let shield = callsoon::shield(inner.clone());
        let inner = Box::new(inner);
        Self::new(&shield, Kind::Shield { inner, needless })
    }

    fn new<T: Outcome>(future: &Future<T>, kind: Kind) -> Self {
        Self {
            future: Rc::new(future.clone()),
            kind,
        }
    }
}

impl Item {
    /// The same for all items that are one future in asyncio.
    pub(super) fn identity(&self) -> FutureHandle {
        match &self.kind {
            Kind::Shield { inner, needless } if *needless => inner.identity(),
            _ => self.future.handle(),
        }
    }

    /// The task behind it, if it is one.
    pub(super) fn task_handle(&self) -> Option<&TaskHandle> {
        match &self.kind {
            Kind::Task(handle) => Some(handle),
            _ => None,
        }
    }

    pub(super) fn done(&self) -> bool {
        self.future.handle().done()
    }

    pub(super) fn state(&self) -> State {
        self.kind.state(self.future.look())
    }

    pub(super) fn cancel(&self, message: Option<&str>) -> bool {
        match message {
            Some(message) => self.future.handle().cancel_with(message),
            None => self.future.handle().cancel(),
        }
    }

    /// Completes it; says whether it was accepted.
    pub(super) fn set(&self, out: Out) -> bool {
        match (&self.kind, out) {
            (Kind::Promise(future), Ok(value)) => future.set_result(Ok(value)).is_ok(),
            (Kind::Promise(future), Err(exc)) => future.set_exception(exc).is_ok(),
            _ => false,
        }
    }

    pub(super) fn add_done_callback(&self, callback: impl FnOnce(State) + 'static) -> CallbackId {
        let kind = self.kind.clone();
        let callback = move |look| callback(kind.state(look));
        self.future.add_done_callback(Box::new(callback))
    }

    pub(super) fn remove_done_callback(&self, id: CallbackId) -> bool {
        self.future.remove_done_callback(id)
    }

    fn is_running_now(&self) -> bool {
        self.task_handle()
            .is_some_and(|task| current_task().as_ref() == Some(task))
    }
}

impl IntoFuture for Item {
    type Output = Out;
    type IntoFuture = LocalBoxFuture<'static, Out>;

    fn into_future(self) -> Self::IntoFuture {
        let result = self.future.result();
        if !self.is_running_now() {
            return result;
        }
        // A task that awaits itself panics, where asyncio raises a `RuntimeError`.
        let result = AssertUnwindSafe(result).catch_unwind();
        let result = result.map(|end| end.unwrap_or(Err(Exc::error("RuntimeError"))));
        result.boxed_local()
    }
}

impl Awaitable for Item {
    type Output = Out;

    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<Out> {
        self.future.awaited(event_loop)
    }

    fn bound_loop(&self) -> Option<LoopHandle> {
        Some(self.future.handle().get_loop())
    }
}

impl Waitable for Item {
    type Output = Out;

    fn to_waited(&self) -> Waited<Out> {
        self.future.waited()
    }
}

impl Kind {
    /// The state in which asyncio would be.
    fn state(&self, look: Look) -> State {
        match (self, look) {
            (_, Ok(Ok(value))) => State::Result(value),
            (_, Ok(Err(exc))) => State::Exception(exc),
            (_, Err(ResultError::NotReady)) => State::Pending,
            // A gather of which a child was cancelled is cancelled here; in asyncio it is finished
            // with an exception.
            (Self::Gather, Err(ResultError::Cancelled(_))) => State::Exception(Exc::Cancelled),
            // A shield ends as what it shields, unless it was cancelled itself.
            (Self::Shield { inner, .. }, Err(ResultError::Cancelled(why)))
                if why.origin() == CancelOrigin::Awaited =>
            {
                inner.state()
            }
            (_, Err(ResultError::Cancelled(_))) => State::Cancelled,
            (_, Err(broken)) => State::Exception(Exc::Error(broken.to_string())),
        }
    }
}

/// What a look at a future gives.
type Look = Result<Out, ResultError>;

/// A future of whatever type, as one of [`Out`].
trait AnyFuture {
    fn handle(&self) -> FutureHandle;
    fn look(&self) -> Look;
    fn result(&self) -> LocalBoxFuture<'static, Out>;
    fn awaited(&self, event_loop: &LoopHandle) -> Awaited<Out>;
    fn waited(&self) -> Waited<Out>;
    fn add_done_callback(&self, callback: Box<dyn FnOnce(Look)>) -> CallbackId;
    fn remove_done_callback(&self, id: CallbackId) -> bool;
}

impl<T: Outcome> AnyFuture for Future<T> {
    fn handle(&self) -> FutureHandle {
        FutureHandle::from(self)
    }

    fn look(&self) -> Look {
        Future::result(self).map(T::into_out)
    }

    fn result(&self) -> LocalBoxFuture<'static, Out> {
        self.clone().map(T::into_out).boxed_local()
    }

    fn awaited(&self, event_loop: &LoopHandle) -> Awaited<Out> {
        self.into_awaited(event_loop).map(T::into_out)
    }

    fn waited(&self) -> Waited<Out> {
        self.to_waited().map(|outcome| outcome.clone().into_out())
    }

    fn add_done_callback(&self, callback: Box<dyn FnOnce(Look)>) -> CallbackId {
        Future::add_done_callback(self, |future| callback(future.look()))
    }

    fn remove_done_callback(&self, id: CallbackId) -> bool {
        Future::remove_done_callback(self, id)
    }
}

/// What the futures of a program give.
trait Outcome: Clone + 'static {
    fn into_out(self) -> Out;
}

/// A plain future, a task, a shield.
impl Outcome for Out {
    fn into_out(self) -> Out {
        self
    }
}

/// A gather.
impl Outcome for Result<Vec<Value>, Exc> {
    fn into_out(self) -> Out {
        self.map(Value::List)
    }
}

/// A gather with `return_exceptions`.
impl Outcome for Vec<Result<Out, CancelledError>> {
    fn into_out(self) -> Out {
        let values = self.into_iter().map(|child| match child {
            Ok(Ok(value)) => value,
            Ok(Err(exc)) => Value::Raised(exc),
            Err(_cancelled) => Value::Raised(Exc::Cancelled),
        });
        Ok(Value::List(values.collect()))
    }
}
