//! The open scopes of a loop's tasks.
//!
//! They lie together, and not in the tasks: whoever opens or closes one need not look for the task, and
//! a task without any pays nothing. Those of one task are linked to each other, from the newest on.
//!
//! A scope that is closed stays at its place, to be opened again by any task: code that opens one scope
//! after another allocates the first only. The one closed last, if it was its task's newest, also stays
//! linked (it is *idle*): as a rule that task opens the next one.

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
    /// The places of closed scopes, the last one closed last.
    closed: Vec<u32>,
    /// The place of a closed scope that is linked as the newest of its task.
    idle: u32,
    /// By the tasks' slots, as far as their tasks have opened scopes.
    slots: Vec<OfSlot>,
    /// Lies at the places of closed scopes that were freed.
    nobody: Rc<Scope>,
}

/// What there is of the task at a slot, and of those that were there before it and that their scopes
/// have outlived.
#[derive(Clone)]
struct OfSlot {
    /// The place of the newest scope that is open or idle.
    newest: u32,
    /// The turn of the task's latest step that polled scopes.
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
            idle: NOWHERE,
            slots: Vec::new(),
            nobody: Rc::default(),
        }
    }
}

impl OpenScopes {
    /// Opens a scope in the task with this key, whose step is going on.
    #[inline]
    pub(crate) fn open(&mut self, lp: &LoopState, task: u64) -> Rc<Scope> {
        let place = match self.at(self.idle) {
            Some(idle) if idle.task() == task => mem::replace(&mut self.idle, NOWHERE),
            _ => self.link(task),
        };
        let scope = self.unshared(place).clone();
        scope.begin(lp, place);
        scope
    }

    /// A scope is closed.
    #[inline]
    pub(crate) fn close(&mut self, scope: &Scope) {
        let mut place = scope.place();
        if scope.newer.get() == NOWHERE {
            place = mem::replace(&mut self.idle, place);
        }
        if place != NOWHERE {
            self.unlink(place);
        }
    }

    /// Takes a place for a scope of this task, and links it as the newest.
    #[inline(never)]
    fn link(&mut self, task: u64) -> u32 {
        let place = self.closed.pop().unwrap_or_else(|| self.add_place());
        let slot = slot_of(task) as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, OfSlot::NONE);
        }
        let older = mem::replace(&mut self.slots[slot].newest, place);
        if let Some(older) = self.at(older) {
            older.newer.set(place);
        }
        let scope = self.unshared(place);
        scope.set_task(task);
        scope.older.set(older);
        scope.newer.set(NOWHERE);
        place
    }

    #[cold]
    fn add_place(&mut self) -> u32 {
        self.places.push(self.nobody.clone());
        u32::try_from(self.places.len() - 1).expect("so many do not fit into memory")
    }

    /// The scope at this place, which nobody else has: who may still ask the old one to stop has to find it
    /// closed.
    #[inline]
    fn unshared(&mut self, place: u32) -> &Rc<Scope> {
        let scope = &mut self.places[place as usize];
        if Rc::strong_count(scope) > 1 {
            replace(scope);
        }
        scope
    }

    /// Gives up the place of a scope that is closed.
    #[inline(never)]
    fn unlink(&mut self, place: u32) {
        let scope = &self.places[place as usize];
        let (task, older, newer) = (scope.task(), scope.older.get(), scope.newer.get());
        if let Some(older) = self.at(older) {
            older.newer.set(newer);
        }
        match self.at(newer) {
            Some(newer) => newer.older.set(older),
            None => self.slots[slot_of(task) as usize].newest = older,
        }
        if self.closed.len() >= KEPT && self.closed.len() >= self.places.len() / 2 {
            // It has nothing of a user's any more, or somebody else has it too.
            self.places[place as usize] = self.nobody.clone();
        }
        self.closed.push(place);
    }

    #[inline]
    fn at(&self, place: u32) -> Option<&Rc<Scope>> {
        self.places.get(place as usize)
    }

    /// A step of the task at this slot has ended that polled scopes.
    #[inline]
    pub(super) fn stepped(&mut self, lp: &LoopState, slot: u32) {
        self.slots[slot as usize].stepped = lp.turns.get();
    }

    /// Whether the task may be suspended in this open scope of it. `scoped` says that its latest step
    /// polled scopes.
    pub(super) fn is_live(&self, scope: &Scope, scoped: bool) -> bool {
        let stepped = self.slots[slot_of(scope.task()) as usize].stepped;
        scope.is_live(scoped.then_some(stepped))
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
        let moved = scope.wrapped();
        self.count_wrapped(scope.around(), |count| count - moved);
        self.count_wrapped(around, |count| count + moved);
        scope.set_around(around);
    }

    /// Changes how many awaits through wrapping wakers there are within a scope.
    pub(super) fn count_wrapped(&self, id: ScopeId, change: impl Fn(usize) -> usize) {
        for scope in self.path(id) {
            scope.set_wrapped(change(scope.wrapped()));
        }
    }

    /// The open scopes of the task with this key, in the order in which they were opened.
    pub(super) fn of_task(&self, task: u64) -> Vec<Rc<Scope>> {
        let of_slot = self.slots.get(slot_of(task) as usize);
        let newest = of_slot.and_then(|of_slot| self.at(of_slot.newest));
        let scopes = std::iter::successors(newest, |scope| self.at(scope.older.get()));
        let scopes = scopes.filter(|scope| scope.is_open() && scope.task() == task);
        let mut scopes: Vec<_> = scopes.cloned().collect();
        scopes.reverse();
        scopes
    }
}

#[cold]
fn replace(scope: &mut Rc<Scope>) {
    *scope = Rc::new(scope.successor());
}
