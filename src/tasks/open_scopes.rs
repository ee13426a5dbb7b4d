//! The open scopes of a task.
//!
//! A scope that is closed stays at its place, to be opened again: code that opens one scope after
//! another allocates the first only.

use std::rc::Rc;

use crate::cancellation::{Scope, ScopeId};
use crate::event_loop::LoopState;

/// With more places than this, they are given up when the last scope is closed.
const KEPT: usize = 32;

#[derive(Default)]
pub(super) struct OpenScopes {
    places: Vec<Rc<Scope>>,
    /// The places of closed scopes, the last one closed last.
    closed: Vec<usize>,
}

impl OpenScopes {
    /// Opens a scope that is polled first inside `around`.
    #[inline]
    pub(super) fn open(&mut self, lp: &LoopState, around: ScopeId) -> Rc<Scope> {
        let place = self.closed.pop().unwrap_or_else(|| {
            let place = u32::try_from(self.places.len()).expect("so many do not fit into memory");
            self.places.push(Rc::new(Scope::new(place)));
            self.places.len() - 1
        });
        let scope = &mut self.places[place];
        if Rc::get_mut(scope).is_none() {
            // Somebody may still ask it to stop, and has to find it closed.
            *scope = Rc::new(scope.successor());
        }
        let fresh = Rc::get_mut(scope).expect("nobody else has it");
        fresh.begin(lp, around);
        scope.clone()
    }

    /// A scope of this task is closed.
    #[inline]
    pub(super) fn close(&mut self, scope: &Scope) {
        self.closed.push(scope.id().place());
        if self.is_empty() && self.places.len() > KEPT {
            *self = Self::default();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.closed.len() == self.places.len()
    }

    /// The scope with this id, if it is open.
    pub(super) fn get(&self, id: ScopeId) -> Option<&Rc<Scope>> {
        let scope = self.places.get(id.place())?;
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
    pub(super) fn move_into(&self, scope: &Scope, around: ScopeId) {
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

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Scope>> {
        self.places.iter().filter(|scope| scope.is_open())
    }

    /// All of them, in the order in which they were opened.
    pub(super) fn in_order(&self) -> Vec<Rc<Scope>> {
        let mut scopes: Vec<_> = self.iter().cloned().collect();
        scopes.sort_by_key(|scope| scope.opened());
        scopes
    }
}
