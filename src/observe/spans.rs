//! Spans of the crate `tracing`: one per task and per callback.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tracing::Span;
use tracing::span::EnteredSpan;

use crate::errors::PanicError;
use crate::event_loop::{About, LoopState, Observer, Source, TaskMark, Ticket, TimerKey};

/// Makes a span where something is scheduled, so that it is a child of the span that is current there,
/// and enters it while that runs.
///
/// Subscribers are user code: nothing is borrowed while they are called, and their panics end here. A
/// span that nobody is interested in is not kept.
#[derive(Default)]
pub(super) struct Spans {
    /// Those of the tasks that are not over, by id. To clone a span is to call its subscriber.
    tasks: RefCell<HashMap<u64, Rc<Span>>>,
    queued: RefCell<HashMap<Ticket, Span>>,
    planned: RefCell<HashMap<TimerKey, Span>>,
    /// What runs, the innermost last; without a span if the subscriber panicked, or if a task is over.
    entered: RefCell<Vec<Option<EnteredSpan>>>,
}

impl Spans {
    /// The span of a task, which may be new; none if the task is over.
    fn of_task(&self, lp: &LoopState, task: TaskMark, about: &About) -> Option<Span> {
        let known = self.tasks.borrow().get(&task.id).cloned();
        if let Some(span) = known {
            return Some(Span::clone(&span));
        }
        lp.with_task(task.key, |_| ())?;
        // The name is made only for those who are interested.
        let span = of_task(|| lp.name_of(task).unwrap_or_default(), task, about);
        if !span.is_disabled() {
            let kept = Rc::new(span.clone());
            let old = self.tasks.borrow_mut().insert(task.id, kept);
            drop(old);
        }
        Some(span)
    }
}

impl Observer for Spans {
    fn hears_schedules(&self) -> bool {
        true
    }

    fn planned(&self, _lp: &LoopState, timer: TimerKey, about: &About) {
        // One that is moved keeps its span.
        if !self.planned.borrow().contains_key(&timer) {
            quietly(|| keep(&self.planned, timer, of_callback(about)));
        }
    }

    fn unplanned(&self, _lp: &LoopState, timer: TimerKey) {
        let span = self.planned.borrow_mut().remove(&timer);
        quietly(|| drop(span));
    }

    fn scheduled(&self, lp: &LoopState, ticket: Ticket, about: &About, source: Source) {
        let planned = match source {
            Source::Timer(timer) => self.planned.borrow_mut().remove(&timer),
            Source::Here | Source::Thread => None,
        };
        quietly(|| match about.task {
            Some(task) => drop(self.of_task(lp, task, about)),
            None => {
                let span = planned.unwrap_or_else(|| of_callback(about));
                keep(&self.queued, ticket, span);
            }
        });
    }

    fn begins(&self, lp: &LoopState, ticket: Option<Ticket>, about: &About) {
        let queued = ticket.and_then(|ticket| self.queued.borrow_mut().remove(&ticket));
        let entered = quietly(|| match (about.task, queued) {
            (Some(task), _) => self.of_task(lp, task, about).map(Span::entered),
            (None, Some(span)) => Some(span.entered()),
            (None, None) => Some(of_callback(about).entered()),
        });
        self.entered.borrow_mut().push(entered.flatten());
    }

    fn ended(&self, _lp: &LoopState) {
        let entered = self.entered.borrow_mut().pop();
        quietly(|| drop(entered));
    }

    fn task_over(&self, _lp: &LoopState, id: u64) {
        let span = self.tasks.borrow_mut().remove(&id);
        quietly(|| drop(span));
    }

    fn task_named(&self, id: u64, name: &str) {
        let span = self.tasks.borrow().get(&id).cloned();
        quietly(|| span.map(|span| _ = span.record("name", name)));
    }

    fn closed(&self, _lp: &LoopState) {
        let tasks = self.tasks.take();
        let (queued, planned) = (self.queued.take(), self.planned.take());
        for span in tasks.into_values() {
            quietly(|| drop(span));
        }
        for span in queued.into_values().chain(planned.into_values()) {
            quietly(|| drop(span));
        }
    }
}

fn of_task(name: impl Fn() -> String, task: TaskMark, about: &About) -> Span {
    tracing::debug_span!(
        target: "callsoon",
        "task",
        id = task.id,
        name = name().as_str(),
        created_at = about.site.map(display),
    )
}

fn of_callback(about: &About) -> Span {
    tracing::trace_span!(
        target: "callsoon",
        "callback",
        kind = %about.kind,
        created_at = about.site.map(display),
    )
}

fn keep<K: Eq + std::hash::Hash>(spans: &RefCell<HashMap<K, Span>>, key: K, span: Span) {
    let old = match span.is_disabled() {
        true => Some(span),
        false => spans.borrow_mut().insert(key, span),
    };
    drop(old);
}

/// Calls a subscriber. Both the loop and what it runs go on if that panics.
fn quietly<R>(subscriber: impl FnOnce() -> R) -> Option<R> {
    PanicError::logged("a subscriber of spans", None, subscriber)
}
