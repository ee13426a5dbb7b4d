//! The open scopes of a loop's tasks.
//!
//! They lie together, and not in the tasks: whoever opens or closes one need not look for the task, and
//! a task without any pays nothing. Those of one task are linked to each other, from the newest on.
//!
//! A scope that is closed stays at its place, to be opened again by any task: code that opens one scope
//! after another allocates the first only. The one closed last, if it was its task's newest, also stays
//! linked (it is *idle*): as a rule that task opens the next one, and then there is nothing to do here.

use std::cell::Cell;
use std::mem;
use std::rc::Rc;

use super::step::slot_of;
use crate::cancellation::{Scope, ScopeId};
use crate::event_loop::LoopState;

/// Closed scopes beyond this many, and beyond half of all, are freed.
const KEPT: usize = 64;

/// In the place of a place: there is none.
const NOWHERE: u32 = u32::MAX;

pub(crate) struct OpenScopes {
    places: Vec<Rc<Scope>>,
    /// The places of closed scopes, the last one closed last, but for the idle one.
    closed: Vec<u32>,
    /// By the tasks' slots, as far as their tasks have opened scopes.
    slots: Vec<OfSlot>,
    /// Lies at the places of closed scopes that were freed.
    nobody: Rc<Scope>,
    /// No scope that was freed had a greater number.
    number: u32,
}

/// What there is of the task at a slot, and of those that were there before it and that their scopes
/// have outlived.
#[derive(Clone)]
struct OfSlot {
    /// The place of the newest scope that is open or idle.
    newest: u32,
    /// The latest turn in which a step of the task found a scope pending, as far as that is not to be seen
    /// from its scopes.
    stepped: u64,
}

impl OfSlot {
    const NONE: Self = Self {
        newest: NOWHERE,
        stepped: 0,
    };
}

impl Default for OpenScopes {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            closed: Vec::new(),
            slots: Vec::new(),
            nobody: Rc::new(Scope::new(NOWHERE, 0)),
            number: 0,
        }
    }
}

/// The closed scope of a loop that is linked as the newest of its task, if one is.
#[derive(Default)]
pub(crate) struct IdleScope(Cell<Option<Rc<Scope>>>);

impl IdleScope {
    /// A scope for the task with this key, whose step is going on, to be opened now.
    #[inline]
    pub(crate) fn take_for(&self, lp: &LoopState, task: u64) -> Rc<Scope> {
        match self.0.take() {
            Some(idle) if idle.task() == task && is_unshared(&idle) => idle,
            idle => self.take_another(idle, lp, task),
        }
    }

    #[inline(never)]
    fn take_another(&self, idle: Option<Rc<Scope>>, lp: &LoopState, task: u64) -> Rc<Scope> {
        let mut scopes = lp.scopes.borrow_mut();
        match idle {
            Some(mine) if mine.task() == task => scopes.unlink(&mine),
            other => self.0.set(other),
        }
        scopes.link(task)
    }

    /// Takes a scope that was just closed.
    #[inline]
    pub(crate) fn put(&self, lp: &LoopState, scope: Rc<Scope>) {
        let left = match scope.newer.get() {
            NOWHERE => self.0.replace(Some(scope)),
            _ => Some(scope),
        };
        if let Some(left) = left {
            unlink(lp, left);
        }
    }
}

#[inline(never)]
fn unlink(lp: &LoopState, scope: Rc<Scope>) {
    lp.scopes.borrow_mut().unlink(&scope);
}

/// Whether nobody has it but the caller and the table. Who may still ask the old one to stop has to find it
/// closed.
#[inline]
fn is_unshared(scope: &Rc<Scope>) -> bool {
    Rc::strong_count(scope) == 2
}

impl OpenScopes {
    /// Takes a place for a scope of this task, and links it as the newest.
    fn link(&mut self, task: u64) -> Rc<Scope> {
        let place = self.closed.pop().unwrap_or_else(|| self.add_place());
        let slot = slot_of(task) as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, OfSlot::NONE);
        }
        let older = mem::replace(&mut self.slots[slot].newest, place);
        if let Some(older) = self.at(older) {
            older.newer.set(place);
        }
        let mut scope = self.places[place as usize].clone();
        if !is_unshared(&scope) {
            scope = self.replace(place);
        }
        scope.set_task(task);
        scope.older.set(older);
        scope.newer.set(NOWHERE);
        scope
    }

    /// Has a new scope at this place.
    #[cold]
    fn replace(&mut self, place: u32) -> Rc<Scope> {
        let old = &mut self.places[place as usize];
        self.number = self.number.max(old.id().number());
        *old = Rc::new(Scope::new(place, self.number));
        old.clone()
    }

    #[cold]
    fn add_place(&mut self) -> u32 {
        self.places.push(self.nobody.clone());
        u32::try_from(self.places.len() - 1).expect("so many do not fit into memory")
    }

    /// Gives up the place of a scope that is closed.
    fn unlink(&mut self, scope: &Scope) {
        let (task, older, newer) = (scope.task(), scope.older.get(), scope.newer.get());
        if let Some(older) = self.at(older) {
            older.newer.set(newer);
        }
        match self.at(newer) {
            Some(newer) => newer.older.set(older),
            None => self.slots[slot_of(task) as usize].newest = older,
        }
        let place = scope.place();
        if self.closed.len() >= KEPT && self.closed.len() >= self.places.len() / 2 {
            // The caller has it, so it is not dropped here.
            self.number = self.number.max(scope.id().number());
            self.places[place as usize] = self.nobody.clone();
        }
        self.closed.push(place);
    }

    #[inline]
    fn at(&self, place: u32) -> Option<&Rc<Scope>> {
        self.places.get(place as usize)
    }

    /// A step of the task with this key has found a scope pending in this turn, and the scope will not tell.
    pub(crate) fn note_step(&mut self, task: u64, turn: u64) {
        let stepped = &mut self.slots[slot_of(task) as usize].stepped;
        *stepped = turn.max(*stepped);
    }

    /// The latest turn in which a step of the task with this key found any scope pending.
    pub(super) fn latest_step(&self, task: u64) -> u64 {
        let of_slot = self.slots.get(slot_of(task) as usize);
        let noted = of_slot.map(|of_slot| of_slot.stepped);
        let polled = self.newest_first(task).filter_map(|scope| scope.polled());
        polled.chain(noted).max().unwrap_or(0)
    }

    /// The scope with this id, if it is open.
    pub(crate) fn get(&self, id: ScopeId) -> Option<&Rc<Scope>> {
        let scope = self.at(id.place())?;
        (scope.id() == id && scope.is_open()).then_some(scope)
    }

    /// The open scopes from the one with this id on outwards.
    pub(super) fn path(&self, id: ScopeId) -> impl Iterator<Item = &Rc<Scope>> {
        std::iter::successors(self.get(id), |scope| self.get(scope.around()))
    }

    /// Whether the scope with this id is `outer`, or inside it.
    pub(super) fn is_within(&self, id: ScopeId, outer: &Scope) -> bool {
        self.path(id).any(|scope| scope.id() == outer.id())
    }

    /// A scope was moved, and is polled inside `around` now.
    #[cold]
    pub(crate) fn move_into(&self, scope: &Scope, around: ScopeId) {
        let (moved, since) = (scope.wrapped(), scope.wrapped_since());
        if moved > 0 {
            self.each_around(scope.around(), |outer| outer.remove_wrapped(moved));
            self.each_around(around, |outer| outer.add_wrapped(moved, since));
        }
        scope.set_around(around);
    }

    /// Calls `change` with the open scopes from the one with this id on outwards.
    pub(super) fn each_around(&self, id: ScopeId, change: impl Fn(&Scope)) {
        for scope in self.path(id) {
            change(scope);
        }
    }

    /// The open scopes of the task with this key, in the order in which they were opened.
    pub(super) fn of_task(&self, task: u64) -> Vec<Rc<Scope>> {
        let mut scopes: Vec<_> = self.newest_first(task).cloned().collect();
        scopes.reverse();
        scopes
    }

    fn newest_first(&self, task: u64) -> impl Iterator<Item = &Rc<Scope>> {
        let of_slot = self.slots.get(slot_of(task) as usize);
        let newest = of_slot.and_then(|of_slot| self.at(of_slot.newest));
        let scopes = std::iter::successors(newest, |scope| self.at(scope.older.get()));
        scopes.filter(move |scope| scope.is_open() && scope.task() == task)
    }
}
