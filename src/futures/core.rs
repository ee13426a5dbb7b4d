//! What a [`Future`] handle points to: state, result and callbacks, whatever it stands for.
//!
//! | state | holds | leaves it by |
//! | --- | --- | --- |
//! | `Pending` | the callbacks, in the order of registration | `finish` |
//! | `Ready` | the result | a moving await, `take_result` |
//! | `Cancelled`, `Panicked` | why | nothing |
//! | `Taken` | nothing | nothing |
//!
//! A plain promise is a [`Promise`](super::Promise); a task is a `TaskCell` (in `tasks`). Both are one allocation,
//! reached through `Pin<Rc<dyn ..>>`: typed ([`FutureRef`]) by handles, untyped ([`AnyRef`]) by the
//! loop, by tasks that wait, and by cancellation.

use std::any::Any;
use std::cell::RefCell;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;

use super::callbacks::{Action, CallbackList, Callbacks, DoneCallback, ForeignWait, Key, WhenDone};
use super::flat_drop::flat_drop;
use super::handle::AwaitDone;
use super::purpose::Nature;
use super::{Base, CallbackId, Future, ListenerRef, Members, State};
use crate::cancellation::CancelledError;
use crate::errors::{InvalidStateError, PanicError, Refused, ResultError};
use crate::event_loop::{ExceptionContext, LoopState, write_over};
use crate::tasks::{TaskHead, TaskRef};

pub(crate) type FutureRef<T> = Pin<Rc<dyn FutureCore<T>>>;
pub(crate) type AnyRef = Pin<Rc<dyn AnyFuture>>;

/// A future whose result type is not known here.
pub(crate) trait AnyFuture {
    fn base(&self) -> &Base;
    fn state(&self) -> State;
    /// Asks it to stop; false when it is done.
    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool;
    /// Whether `cancel` would be accepted now.
    fn accepts_cancel(&self) -> bool;
    /// Has `callback` called when it is done, like a done-callback that was added at `site`; gives the
    /// registration's id.
    fn notify(
        self: Pin<Rc<Self>>,
        site: &'static Location<'static>,
        callback: Box<dyn FnOnce(AnyRef)>,
    ) -> u64;
    /// Has `listener` told when it is done, and queued, like a done-callback.
    fn listen(&self, id: u64, listener: ListenerRef);
    /// Takes out a registration; says whether it was still there.
    fn remove_callback(&self, id: u64) -> bool;
    /// Puts the same future, typed, into an `Option<FutureRef<T>>` if `T` is the type of its result.
    fn downcast(self: Pin<Rc<Self>>, slot: &mut dyn Any);
    /// A handle, without its type, that can be awaited.
    fn awaiter(self: Pin<Rc<Self>>) -> Box<dyn AwaitDone>;
    /// The task's part, if it is a task.
    fn task(&self) -> Option<&TaskHead> {
        None
    }
    /// The task, if it is one.
    fn into_task(self: Pin<Rc<Self>>) -> Option<TaskRef> {
        None
    }
    /// What a cancellation is passed on to, if it stands for several others.
    fn members(&self) -> Option<&dyn Members> {
        None
    }
    /// What it is, for a snapshot.
    fn nature(&self) -> Nature;
    /// What has to be done before it is, where that is known.
    fn inside(&self) -> Vec<AnyRef> {
        Vec::new()
    }
    /// How many done-callbacks it has, and on behalf of which futures others listen to it.
    fn listeners(&self) -> (usize, Vec<AnyRef>);
    /// Whether it has ended in a cancellation that asyncio counts as an error: that of a gather.
    fn failed_by_cancellation(&self) -> bool {
        false
    }
    /// The last handle is gone; see [`Base::lets_go`].
    fn let_go(self: Pin<Rc<Self>>) {}
    /// The last handle is gone, and the loop is closed, or is being closed: drops whatever waits for it,
    /// and what it waits for.
    fn discard(&self) {}
}

/// The part of an implementation of [`AnyFuture`] that a cell leaves to its `shared: Shared<T>`.
macro_rules! as_shared {
    ($output:ty) => {
        fn base(&self) -> &$crate::futures::Base {
            &self.shared.base
        }

        fn state(&self) -> $crate::futures::State {
            self.shared.state()
        }

        fn notify(
            self: ::std::pin::Pin<::std::rc::Rc<Self>>,
            site: &'static ::std::panic::Location<'static>,
            callback: Box<dyn FnOnce($crate::futures::AnyRef)>,
        ) -> u64 {
            let me: $crate::futures::FutureRef<$output> = self.clone();
            self.shared.notify(&me, site, callback)
        }

        fn listen(&self, id: u64, listener: $crate::futures::ListenerRef) {
            self.shared.listen(self, id, listener);
        }

        fn remove_callback(&self, id: u64) -> bool {
            // Dropped here, with nothing borrowed.
            self.shared.unregister(id).is_some()
        }

        fn listeners(&self) -> (usize, Vec<$crate::futures::AnyRef>) {
            self.shared.listeners()
        }

        fn downcast(self: ::std::pin::Pin<::std::rc::Rc<Self>>, slot: &mut dyn ::std::any::Any) {
            $crate::futures::downcast::<$output>(self, slot);
        }

        fn awaiter(
            self: ::std::pin::Pin<::std::rc::Rc<Self>>,
        ) -> Box<dyn $crate::futures::AwaitDone> {
            Box::new($crate::futures::Future::<$output>::new(self))
        }
    };
}
pub(crate) use as_shared;

/// A future with a result of type `T`.
pub(crate) trait FutureCore<T>: AnyFuture {
    fn shared(&self) -> &Shared<T>;
    /// If it is a task that is over, and can be one of this coroutine (an `Option` of it) that only the
    /// caller refers to: begins as that, with a listener, and takes it.
    fn begin_again(
        self: Pin<Rc<Self>>,
        _coroutine: &mut dyn Any,
        _id: u64,
        _listener: &ListenerRef,
    ) {
    }
    /// How to tell whether a result that nobody looked at has to be reported.
    fn failure(&self) -> Failure<T> {
        |_| None
    }
}

/// Describes a result if it is a failure.
pub(crate) type Failure<T> = fn(T) -> Option<ExceptionContext>;

/// The state and what belongs to it; see the module's table.
pub(crate) enum Inner<T> {
    Pending(Callbacks<T>),
    Ready(T),
    Cancelled(CancelledError),
    Panicked(PanicError),
    Taken,
}

pub(crate) struct Shared<T: 'static> {
    pub(crate) base: Base,
    /// Shared-borrowed while user code looks at a result (`with_result`, `Clone`), and never
    /// mutably while any user code runs.
    inner: RefCell<Inner<T>>,
}

impl<T: 'static> Shared<T> {
    #[inline]
    pub(crate) fn new(lp: Rc<LoopState>, site: &'static Location<'static>) -> Self {
        Self {
            base: Base::new(lp, site, 0),
            inner: RefCell::new(Inner::Pending(Callbacks::None)),
        }
    }

    /// That of a future which somebody listens to from its beginning, for whose sake alone it is there.
    #[inline]
    pub(crate) fn told(
        lp: Rc<LoopState>,
        site: &'static Location<'static>,
        id: u64,
        listener: ListenerRef,
    ) -> Self {
        let base = Base::new(lp, site, 0);
        base.expendable.set(true);
        Self {
            base,
            inner: RefCell::new(Inner::told(id, listener)),
        }
    }

    /// It is that of another such future now. Its result has been taken.
    #[inline]
    pub(crate) fn tell_again(&self, id: u64, listener: ListenerRef) {
        self.base.observed.set(false);
        write_over(&mut *self.inner.borrow_mut(), Inner::told(id, listener));
    }

    pub(crate) fn state(&self) -> State {
        // Borrowed mutably only inside this file's methods, which call nothing that leads here.
        match &*self.inner.borrow() {
            Inner::Pending(_) => State::Pending,
            Inner::Ready(_) => State::Ready,
            Inner::Cancelled(_) => State::Cancelled,
            Inner::Panicked(_) => State::Panicked,
            Inner::Taken => State::Taken,
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(&*self.inner.borrow(), Inner::Pending(_))
    }

    /// Leaves `Pending` for `outcome`, and queues or wakes whatever waits for that, in the order of
    /// registration.
    ///
    /// `me` is the future that this is the inside of. It is pending, and so nobody up the stack looks
    /// at its result.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn finish(&self, me: &FutureRef<T>, outcome: impl FnOnce() -> Inner<T>) {
        let callbacks = {
            let mut inner = self.inner.borrow_mut();
            let Inner::Pending(callbacks) = &mut *inner else {
                unreachable!("a future is completed once");
            };
            let callbacks = mem::replace(callbacks, Callbacks::None);
            write_over(&mut *inner, outcome());
            callbacks
        };
        self.fire_all(me, callbacks);
    }

    /// [`finish`](Self::finish) for what nobody waits for but one listener, as it is with the children of
    /// a gather. If anybody else does, this does nothing and gives `outcome` back.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn finish_at_most_told<O: FnOnce() -> Inner<T>>(
        &self,
        me: &dyn AnyFuture,
        outcome: O,
    ) -> Result<(), O> {
        let mut inner = self.inner.borrow_mut();
        match &*inner {
            Inner::Pending(Callbacks::None) => {
                write_over(&mut *inner, outcome());
                return Ok(());
            }
            Inner::Pending(Callbacks::One(Action::Tell(..))) => {}
            _ => return Err(outcome),
        }
        match mem::replace(&mut *inner, outcome()) {
            Inner::Pending(Callbacks::One(Action::Tell(key, listener))) => {
                drop(inner);
                if !self.tell(me, key, listener) {
                    self.base.lp.accepts();
                }
            }
            _ => unreachable!("looked at above"),
        }
        Ok(())
    }

    #[track_caller]
    fn fire_all(&self, me: &FutureRef<T>, callbacks: Callbacks<T>) {
        match callbacks {
            Callbacks::None => {}
            Callbacks::One(action) => {
                if !self.fire(me, action) {
                    self.base.lp.accepts();
                }
            }
            Callbacks::Many(list) => self.fire_list(me, *list),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn fire_list(&self, me: &FutureRef<T>, list: CallbackList<T>) {
        let lp = &self.base.lp;
        let refused = lp.is_closed() && list.has_call();
        for action in list.into_actions() {
            self.fire(me, action);
        }
        if refused {
            // Only now, when everybody else has been woken.
            lp.accepts();
        }
    }

    /// Does what was registered; says whether it could, for a closed loop refuses callbacks.
    #[inline(always)]
    fn fire(&self, me: &FutureRef<T>, action: Action<T>) -> bool {
        let lp = &self.base.lp;
        match action {
            Action::Step(_, task) => {
                // What is over or queued already may go here, and take its result with it.
                if let Some(task) = lp.schedule_step(task) {
                    lp.drop_user(task);
                }
            }
            Action::Wake(key, wait) => self.wake(key, *wait),
            Action::Call(_, callback) => {
                if lp.is_closed() {
                    return false;
                }
                self.base.count_handle();
                callback.bind(me.clone());
                lp.push(callback);
            }
            Action::Tell(key, listener) => return self.tell(&**me, key, listener),
        }
        true
    }

    /// [`fire`](Self::fire) for a listener; `me` is the future that this is the inside of.
    #[inline(always)]
    fn tell(&self, me: &dyn AnyFuture, key: Key, listener: ListenerRef) -> bool {
        let lp = &self.base.lp;
        if lp.is_closed() {
            return false;
        }
        if listener.told(key.id(), me, self.state()) {
            lp.push(listener);
        }
        true
    }

    #[inline(never)]
    fn wake(&self, key: Key, wait: ForeignWait) {
        let lp = &self.base.lp;
        let ForeignWait { waker, task } = wait;
        if let Some(task) = task {
            // Not the last reference: the caller has another one.
            drop(task.head().forget_wrapped(lp, key.id()));
            lp.drop_user(task);
        }
        lp.guard("waker", self.base.site, || waker.wake());
    }

    #[track_caller]
    pub(super) fn set_result(
        &self,
        me: &FutureRef<T>,
        value: T,
    ) -> Result<(), InvalidStateError<T>> {
        let why = match self.state() {
            State::Pending => {
                self.finish(me, || Inner::Ready(value));
                return Ok(());
            }
            State::Cancelled => Refused::Cancelled,
            _ => Refused::Done,
        };
        Err(InvalidStateError::new(value, why, Some(self.base.site)))
    }

    /// Looks at the outcome. Marks it as seen.
    pub(crate) fn with_result<R>(&self, look: impl FnOnce(Result<&T, &ResultError>) -> R) -> R {
        let inner = self.inner.borrow();
        if !matches!(&*inner, Inner::Pending(_)) {
            self.base.observed.set(true);
        }
        match &*inner {
            Inner::Ready(value) => look(Ok(value)),
            other => {
                let error = other.error();
                drop(inner);
                look(Err(&error))
            }
        }
    }

    /// Moves the result out, if there is one and nobody looks at it.
    #[inline]
    pub(super) fn take_if_ready(&self) -> Option<T> {
        let mut inner = self.inner.try_borrow_mut().ok()?;
        if !matches!(&*inner, Inner::Ready(_)) {
            return None;
        }
        self.base.observed.set(true);
        match mem::replace(&mut *inner, Inner::Taken) {
            Inner::Ready(value) => Some(value),
            _ => unreachable!("looked at above"),
        }
    }

    /// Moves the result out.
    ///
    /// # Panics
    ///
    /// If somebody up the stack looks at the result right now.
    #[inline]
    #[track_caller]
    pub(crate) fn take_result(&self) -> Result<T, ResultError> {
        match self.take_if_ready() {
            Some(value) => Ok(value),
            None => self.no_result(),
        }
    }

    #[cold]
    #[track_caller]
    fn no_result(&self) -> Result<T, ResultError> {
        // Panics out here, not in the closure, or the location would not be the caller's.
        match self.with_result(|outcome| outcome.err().cloned()) {
            Some(error) => Err(error),
            None => panic!(
                "result of the future created at {} cannot be taken while it is being looked at",
                self.base.site
            ),
        }
    }

    /// Registers a done-callback, or queues it if the future is done.
    #[track_caller]
    pub(crate) fn add_done_callback<F: FnOnce(&Future<T>) + 'static>(
        &self,
        me: &FutureRef<T>,
        callback: F,
    ) -> CallbackId {
        let callback = WhenDone::create(Location::caller(), callback);
        CallbackId {
            loop_id: self.base.lp.id,
            id: self.call_when_done(me, callback),
        }
    }

    /// The same without the type of the future; gives the registration's id.
    #[track_caller]
    pub(crate) fn notify(
        &self,
        me: &FutureRef<T>,
        site: &'static Location<'static>,
        callback: Box<dyn FnOnce(AnyRef)>,
    ) -> u64 {
        let callback = WhenDone::create(site, |future: &Future<T>| callback(future.any()));
        self.call_when_done(me, callback)
    }

    #[track_caller]
    fn call_when_done(&self, me: &FutureRef<T>, callback: Pin<Rc<dyn DoneCallback<T>>>) -> u64 {
        let id = self.base.lp.next_registration();
        if let Err(action) = self.register(|| Action::Call(Key::new(id), callback)) {
            self.fire_now(me, action());
        }
        id
    }

    /// Does what was to be registered: the future is done.
    #[inline(never)]
    #[track_caller]
    fn fire_now(&self, me: &FutureRef<T>, action: Action<T>) {
        if self.base.lp.accepts() {
            self.fire(me, action);
        }
    }

    /// Registers a listener, or tells and queues it if the future is done.
    #[track_caller]
    pub(crate) fn listen(&self, me: &dyn AnyFuture, id: u64, listener: ListenerRef) {
        let action = || Action::Tell(Key::new(id), listener);
        if let Err(action) = self.register(action)
            && self.base.lp.accepts()
            && let Action::Tell(_, listener) = action()
            && listener.told(id, me, self.state())
        {
            self.base.lp.push(listener);
        }
    }

    /// Whether a done-callback waits for it.
    pub(crate) fn has_callbacks(&self) -> bool {
        match self.inner.try_borrow().as_deref() {
            Ok(Inner::Pending(callbacks)) => callbacks.has_call(),
            _ => false,
        }
    }

    /// Appends to the callbacks, or gives the action back when there is nothing left to wait for.
    ///
    /// It is made where it stays: see [`pin_in_place`].
    #[inline]
    pub(super) fn register<A: FnOnce() -> Action<T>>(&self, action: A) -> Result<(), A> {
        match self.inner.try_borrow_mut().as_deref_mut() {
            Ok(Inner::Pending(callbacks)) => {
                callbacks.push(action);
                Ok(())
            }
            _ => Err(action),
        }
    }

    /// Takes out all registrations of a task that will never be done.
    pub(crate) fn take_callbacks(&self) -> Callbacks<T> {
        match self.inner.try_borrow_mut().as_deref_mut() {
            Ok(Inner::Pending(callbacks)) => mem::replace(callbacks, Callbacks::None),
            _ => Callbacks::None,
        }
    }

    /// Takes out a registration.
    pub(crate) fn unregister(&self, id: u64) -> Option<Action<T>> {
        match &mut *self.inner.try_borrow_mut().ok()? {
            Inner::Pending(callbacks) => callbacks.remove(Key::new(id)),
            _ => None,
        }
    }

    /// Looks at registration `id`, if it is there. `look` calls no user code.
    pub(super) fn with_action<R>(
        &self,
        id: u64,
        look: impl FnOnce(&mut Action<T>) -> R,
    ) -> Option<R> {
        match &mut *self.inner.try_borrow_mut().ok()? {
            Inner::Pending(callbacks) => callbacks.get_mut(Key::new(id)).map(look),
            _ => None,
        }
    }

    /// Describes a panic, or a result that is a failure, that nobody has looked at; the last handle is
    /// gone. `what` it is that panicked.
    pub(crate) fn unobserved(&self, what: &str, failure: Failure<T>) -> Option<ExceptionContext> {
        if self.base.observed.get() {
            return None;
        }
        let context = match self.with_result(|outcome| outcome.err().cloned()) {
            None => failure(self.take_if_ready()?)?,
            Some(ResultError::Panicked(panic)) => {
                ExceptionContext::new(format!("{what} panic was never retrieved")).with_panic(panic)
            }
            Some(_) => return None,
        };
        Some(context.with_site(self.base.site))
    }

    /// See [`AnyFuture::listeners`].
    pub(crate) fn listeners(&self) -> (usize, Vec<AnyRef>) {
        match self.inner.try_borrow().as_deref() {
            Ok(Inner::Pending(callbacks)) => callbacks.listeners(),
            _ => (0, Vec::new()),
        }
    }

    /// How many callbacks wait, for `Debug`.
    pub(crate) fn callback_count(&self) -> usize {
        match self.inner.try_borrow().as_deref() {
            Ok(Inner::Pending(callbacks)) => callbacks.len(),
            _ => 0,
        }
    }
}

impl<T> Inner<T> {
    #[inline]
    fn told(id: u64, listener: ListenerRef) -> Self {
        Self::Pending(Callbacks::One(Action::Tell(Key::new(id), listener)))
    }

    fn error(&self) -> ResultError {
        match self {
            Self::Pending(_) => ResultError::NotReady,
            Self::Cancelled(cancelled) => ResultError::Cancelled(cancelled.clone()),
            Self::Panicked(panic) => ResultError::Panicked(panic.clone()),
            Self::Ready(_) | Self::Taken => ResultError::Taken,
        }
    }
}

/// See [`AnyFuture::downcast`].
pub(crate) fn downcast<T: 'static>(future: FutureRef<T>, slot: &mut dyn Any) {
    if let Some(slot) = slot.downcast_mut::<Option<FutureRef<T>>>() {
        *slot = Some(future);
    }
}

impl<T: 'static> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        if let Inner::Pending(callbacks) = self.inner.get_mut()
            && !matches!(callbacks, Callbacks::None)
        {
            drop_callbacks(callbacks);
        }
    }
}

#[inline(never)]
fn drop_callbacks<T: 'static>(callbacks: &mut Callbacks<T>) {
    flat_drop(mem::replace(callbacks, Callbacks::None));
}
