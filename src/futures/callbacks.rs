//! The callbacks of a pending future.
//!
//! Whatever waits for a future registers with it under an id, and the ids of one list ascend: a
//! registration is found, and withdrawn, in O(log n), so that a `select!` in a loop over a future
//! that thousands wait for stays cheap.

use std::cell::Cell;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Waker;

use super::{AnyRef, Future, FutureRef, ListenerRef};
use crate::event_loop::{About, CallHead, Lane, LoopState, Run, pin_in_place, write_over};
use crate::observe::EntryKind;
use crate::tasks::{Stepper, TaskRef};

/// The id of a registration. 48 bits, so that it fits beside an action's tag; a loop that registers
/// every ten nanoseconds runs out after a month, and then an id may occur twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u16; 3]);

impl Key {
    #[inline]
    pub(super) fn new(id: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is cut into 16 bits each"
        )]
        Self([id as u16, (id >> 16) as u16, (id >> 32) as u16])
    }
}

impl Key {
    /// The id it was made of.
    pub(super) fn id(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        high << 32 | middle << 16 | low
    }
}

/// What to do when the future is done.
pub(crate) enum Action<T> {
    /// Queue a step of a task that awaits it.
    Step(Key, TaskRef),
    /// Wake a waker that is not one of our tasks' own, now.
    Wake(Key, Box<ForeignWait>),
    /// Queue a done-callback.
    Call(Key, Pin<Rc<dyn DoneCallback<T>>>),
    /// Tell a listener, and queue it.
    Tell(Key, ListenerRef),
}

impl<T> Action<T> {
    fn key(&self) -> Key {
        match self {
            Self::Step(key, _) | Self::Wake(key, _) => *key,
            Self::Call(key, _) | Self::Tell(key, _) => *key,
        }
    }

    fn is_call(&self) -> bool {
        matches!(self, Self::Call(..) | Self::Tell(..))
    }
}

/// An await through a waker that wraps ours (`FuturesUnordered`) or is another executor's.
pub(crate) struct ForeignWait {
    pub(super) waker: Waker,
    /// The task in which it happens, if it is one of ours: it counts this as an await.
    pub(super) task: Option<TaskRef>,
}

/// A done-callback, which is given the future when it is queued.
pub(crate) trait DoneCallback<T>: Run {
    /// Has it called with `future`, one handle of which was counted for that.
    fn bind(&self, future: FutureRef<T>);
}

/// A closure that is a done-callback.
pub(super) struct WhenDone<T: 'static, F> {
    head: CallHead,
    closure: Cell<Option<F>>,
    future: Cell<Option<Future<T>>>,
}

/// Nothing in it is ever pinned.
impl<T: 'static, F> Unpin for WhenDone<T, F> {}

impl<T: 'static, F: FnOnce(&Future<T>)> Run for WhenDone<T, F> {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        let closure = self.head.start(lp, &self.closure);
        if let (Some(closure), Some(future)) = (closure, self.future.take()) {
            closure(&future);
        }
    }

    fn lane(&self) -> Lane {
        let future = self.future.take();
        let base = future.as_ref().map(|future| future.core().base());
        let lane = base.map(Lane::done_callbacks_of);
        self.future.set(future);
        lane.unwrap_or_else(|| Lane::of(self))
    }

    fn about(&self) -> About {
        self.head.about(EntryKind::DoneCallback)
    }

    fn discard(&self) {
        drop(self.closure.take());
        drop(self.future.take());
    }
}

impl<T: 'static, F: FnOnce(&Future<T>)> DoneCallback<T> for WhenDone<T, F> {
    fn bind(&self, future: FutureRef<T>) {
        self.future.set(Some(Future::counted(future)));
    }
}

impl<T: 'static, F: FnOnce(&Future<T>) + 'static> WhenDone<T, F> {
    pub(super) fn create(site: &'static Location<'static>, closure: F) -> Pin<Rc<Self>> {
        pin_in_place(|| Self {
            head: CallHead::new(site),
            closure: Cell::new(Some(closure)),
            future: Cell::new(None),
        })
    }
}

/// The callbacks of a pending future. Most have one.
pub(crate) enum Callbacks<T> {
    None,
    One(Action<T>),
    Many(Box<CallbackList<T>>),
}

/// Callbacks in ascending order of their keys, with gaps: a removal leaves a `None` until there are
/// more gaps than callbacks.
pub(crate) struct CallbackList<T> {
    items: Vec<(Key, Option<Action<T>>)>,
    gaps: usize,
}

impl<T> Callbacks<T> {
    /// All of them, in order.
    pub(crate) fn into_actions(self) -> impl Iterator<Item = Action<T>> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(action) => (Some(action), None),
            Self::Many(list) => (None, Some(list.into_actions())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The same, for a look.
    fn actions(&self) -> impl Iterator<Item = &Action<T>> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(action) => (Some(action), None),
            Self::Many(list) => (None, Some(list.actions())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    #[inline]
    pub(super) fn push(&mut self, action: impl FnOnce() -> Action<T>) {
        if matches!(self, Self::None) {
            write_over(self, Self::One(action()));
        } else {
            self.push_further(action());
        }
    }

    #[inline(never)]
    fn push_further(&mut self, action: Action<T>) {
        let further = (action.key(), Some(action));
        *self = Self::Many(match mem::replace(self, Self::None) {
            Self::Many(mut list) => {
                list.items.push(further);
                list
            }
            Self::One(first) => Box::new(CallbackList {
                items: vec![(first.key(), Some(first)), further],
                gaps: 0,
            }),
            Self::None => unreachable!("there is one already"),
        });
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Action<T>> {
        match self {
            Self::One(action) if action.key() == key => match mem::replace(self, Self::None) {
                Self::One(action) => Some(action),
                _ => unreachable!("it is one"),
            },
            Self::Many(list) => list.remove(key),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Action<T>> {
        match self {
            Self::One(action) if action.key() == key => Some(action),
            Self::Many(list) => {
                let position = list.position(key)?;
                list.items[position].1.as_mut()
            }
            _ => None,
        }
    }

    /// Whether a done-callback is among them.
    pub(super) fn has_call(&self) -> bool {
        self.actions().any(Action::is_call)
    }

    /// How many done-callbacks there are, and what those stand for that are listeners.
    pub(super) fn listeners(&self) -> (usize, Vec<AnyRef>) {
        let (mut count, mut futures) = (0, Vec::new());
        for action in self.actions().filter(|action| action.is_call()) {
            count += 1;
            if let Action::Tell(_, listener) = action {
                futures.extend(listener.on_behalf());
            }
        }
        (count, futures)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(list) => list.items.len() - list.gaps,
        }
    }
}

impl<T> CallbackList<T> {
    /// The callbacks, in order.
    pub(super) fn into_actions(self) -> impl Iterator<Item = Action<T>> {
        self.items.into_iter().filter_map(|(_, action)| action)
    }

    /// The same, for a look.
    fn actions(&self) -> impl Iterator<Item = &Action<T>> {
        self.items.iter().filter_map(|(_, action)| action.as_ref())
    }

    /// Whether a done-callback is among them.
    pub(super) fn has_call(&self) -> bool {
        self.actions().any(Action::is_call)
    }

    fn position(&self, key: Key) -> Option<usize> {
        (self.items)
            .binary_search_by_key(&key.id(), |&(key, _)| key.id())
            .ok()
    }

    fn remove(&mut self, key: Key) -> Option<Action<T>> {
        let position = self.position(key)?;
        let removed = self.items[position].1.take()?;
        self.gaps += 1;
        if self.gaps * 2 > self.items.len() {
            self.items.retain(|(_, action)| action.is_some());
            self.gaps = 0;
        }
        Some(removed)
    }
}
