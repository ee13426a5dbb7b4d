//! Coroutines that are driven by hand.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use callsoon::CoroutineState::{Complete, Yielded};
use callsoon::{Coroutine, CoroutineState, ResumeError, Yielder, Yielding, sleep};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, future, join};

use crate::support::{Drops, Log, OnDrop, ms, virtual_loop};

/// After: PEP 342, a new generator runs nothing.
#[test]
fn nothing_runs_before_the_first_send() {
    let log = Log::new();
    let inner = log.clone();
    let coroutine = Coroutine::new(move |out: Yielder<u32>| {
        inner.push("called");
        async move {
            inner.push("polled");
            out.yield_(1).await;
        }
    });
    log.expect(&[]);
    assert_eq!(coroutine.send(()), Yielded(1));
    log.expect(&["called", "polled"]);
}

#[test]
fn a_step_ends_at_the_yield_and_the_next_begins_there() {
    let log = Log::new();
    let inner = log.clone();
    let coroutine = Coroutine::new(async move |out| {
        inner.push("first step");
        out.yield_('a').await;
        inner.push("second step");
        out.yield_('b').await;
        inner.push("third step");
        "result"
    });
    assert_eq!(coroutine.send(()), Yielded('a'));
    log.expect(&["first step"]);
    assert_eq!(coroutine.send(()), Yielded('b'));
    log.expect(&["second step"]);
    assert_eq!(coroutine.send(()), Complete("result"));
    log.expect(&["third step"]);
}

#[test]
fn the_first_value_starts_it_and_each_further_one_answers_a_yield() {
    let coroutine = Coroutine::receiving(async |out, first: u32| {
        let second = out.yield_(first * 10).await;
        let third = out.yield_(second * 10).await;
        [first, second, third]
    });
    assert_eq!(coroutine.send(1), Yielded(10));
    assert_eq!(coroutine.send(2), Yielded(20));
    assert_eq!(coroutine.send(3), Complete([1, 2, 3]));
}

#[test]
fn an_error_that_is_sent_is_what_throw_does() {
    let coroutine = Coroutine::<_, (), Result<(), &str>>::receiving(async |out, _| {
        if let Err(error) = out.yield_("working").await {
            out.yield_(error).await.expect("one error is enough");
        }
    });
    assert_eq!(coroutine.send(Ok(())), Yielded("working"));
    assert_eq!(coroutine.send(Err("stop it")), Yielded("stop it"));
    assert_eq!(coroutine.send(Ok(())), Complete(()));
}

/// After: `RuntimeError: cannot reuse already awaited coroutine`.
#[test]
fn sending_to_one_that_is_over_gives_the_value_back() {
    let coroutine = Coroutine::<(), (), String>::receiving(async |_, _| ());
    assert_eq!(coroutine.send("first".into()), Complete(()));
    let refused = coroutine.try_send("second".into()).unwrap_err();
    assert_eq!(refused, ResumeError::Finished("second".to_owned()));
    let message = panic_message(|| _ = coroutine.send("third".into()));
    assert!(message.starts_with("coroutine created at "), "{message}");
    assert!(message.contains("coroutine.rs:"), "{message}");
    assert!(message.ends_with(": it cannot be resumed, for it is over"));
}

/// After: `ValueError: coroutine already executing`.
#[test]
fn it_cannot_be_resumed_from_inside_itself() {
    let coroutine = recursive(async |_, itself: Rc<Coroutine<(), String>>| {
        assert_eq!(itself.try_send(()), Err(ResumeError::Running(())));
        assert!(!itself.done());
        assert!(format!("{itself:?}").contains("Running"));
        panic_message(|| _ = itself.send(()))
    });
    let Complete(message) = coroutine.send(()) else {
        unreachable!("it yields nothing");
    };
    assert!(message.ends_with(": it cannot be resumed from inside itself"));
}

#[test]
fn it_cannot_be_closed_from_inside_itself() {
    let coroutine =
        recursive(async |_, itself: Rc<Coroutine<(), String>>| panic_message(|| itself.close()));
    let Complete(message) = coroutine.send(()) else {
        unreachable!("it yields nothing");
    };
    assert!(message.ends_with(": it cannot be closed from inside itself"));
}

#[test]
fn iterating_over_one_from_inside_itself_panics() {
    let coroutine = recursive(async |_, itself: Rc<Coroutine<(), String>>| {
        panic_message(|| _ = (&*itself).next())
    });
    assert_eq!((&*coroutine).count(), 0);
    let message = coroutine.take_result().unwrap();
    assert!(message.ends_with(": it cannot be resumed from inside itself"));
}

#[test]
fn close_drops_what_is_inside_once() {
    let drops = Drops::new();
    let guard = drops.guard();
    let coroutine = Coroutine::<(), ()>::new(async move |out| {
        let _guard = guard;
        out.yield_(()).await;
    });
    assert_eq!(coroutine.send(()), Yielded(()));
    assert_eq!(drops.count(), 0);
    coroutine.close();
    assert_eq!(drops.count(), 1);
    assert!(coroutine.done());
    coroutine.close();
    assert_eq!(coroutine.try_send(()), Err(ResumeError::Finished(())));
    assert_eq!(drops.count(), 1);
}

#[test]
fn closing_one_that_has_not_started_runs_nothing_of_it() {
    let drops = Drops::new();
    let guard = drops.guard();
    let coroutine = Coroutine::<(), ()>::new(async move |_| {
        let _guard = guard;
        unreachable!("it does not run");
    });
    coroutine.close();
    assert_eq!(drops.count(), 1);
}

#[test]
fn dropping_it_drops_what_is_inside() {
    let drops = Drops::new();
    let (inside, value) = (drops.guard(), drops.guard());
    let coroutine = Coroutine::new(async move |out| {
        let _inside = inside;
        out.yield_(value).await;
    });
    let yielded = coroutine.send(());
    drop(coroutine);
    assert_eq!(drops.count(), 1);
    drop(yielded);
    assert_eq!(drops.count(), 2);
}

#[test]
fn what_is_dropped_by_close_finds_the_coroutine_over() {
    let coroutine = recursive(async |out, itself: Rc<Coroutine<u32, ()>>| {
        let _guard = OnDrop::new(move || {
            assert_eq!(itself.try_send(()), Err(ResumeError::Finished(())));
            itself.close();
        });
        out.yield_(1).await;
    });
    assert_eq!(coroutine.send(()), Yielded(1));
    coroutine.close();
    assert!(coroutine.done());
}

#[test]
fn a_panic_goes_on_in_whoever_resumes_it_and_ends_it() {
    let drops = Drops::new();
    let guard = drops.guard();
    let coroutine = Coroutine::new(async move |out| {
        let _guard = guard;
        out.yield_(()).await;
        panic!("broken inside");
    });
    assert_eq!(coroutine.send(()), Yielded(()));
    assert_eq!(panic_message(|| _ = coroutine.send(())), "broken inside");
    assert_eq!(drops.count(), 1);
    assert_eq!(coroutine.try_send(()), Err(ResumeError::Finished(())));
    // It is the result of nothing.
    let _: Coroutine<(), ()> = coroutine;
}

#[test]
fn what_a_panic_unwinds_finds_the_coroutine_running() {
    let seen = Rc::new(Cell::new(None));
    let see = seen.clone();
    let coroutine = recursive(async move |_, itself: Rc<Coroutine<(), ()>>| {
        let see = see.clone();
        let kept = itself.clone();
        let _guard = OnDrop::new(move || see.set(kept.try_send(()).err()));
        panic!("broken inside");
    });
    assert_eq!(panic_message(|| _ = coroutine.send(())), "broken inside");
    // Its locals go while it is still being polled.
    assert_eq!(seen.get(), Some(ResumeError::Running(())));
    assert!(coroutine.done());
}

#[test]
fn awaiting_something_else_is_an_error_and_not_a_hang() {
    let drops = Drops::new();
    let guard = drops.guard();
    let coroutine = Coroutine::<(), ()>::new(async move |_| {
        let _guard = guard;
        pending().await
    });
    assert_eq!(coroutine.try_send(()), Err(ResumeError::AwaitsOther));
    assert_eq!(drops.count(), 1);
    assert_eq!(coroutine.try_send(()), Err(ResumeError::Finished(())));
}

#[test]
fn awaiting_a_future_of_a_loop_is_an_error_too() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let promise = future.clone();
    let coroutine = Coroutine::<(), u32>::new(async move |_| future.await);
    let message = panic_message(|| _ = coroutine.send(()));
    assert!(message.ends_with("is not ready: nobody would wake it"));
    assert!(promise.set_result(1).is_ok(), "it is left alone");
}

#[test]
fn a_task_that_drives_one_is_not_harmed_by_what_it_awaits() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let coroutine = Coroutine::<(), ()>::new(async |_| sleep(ms(1000)).await);
        let refused = coroutine.try_send(()).unwrap_err();
        sleep(ms(10)).await;
        refused
    });
    let refused = event_loop.run_until_complete(task).unwrap();
    assert_eq!(refused, ResumeError::AwaitsOther);
    assert_eq!(event_loop.time(), ms(10));
    assert_eq!(event_loop.next_deadline(), None, "its timer is gone");
}

#[test]
fn what_is_ready_can_be_awaited() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    assert!(future.set_result(1).is_ok());
    let coroutine = Coroutine::<(), _>::new(async move |_| future.await + ready(1).await);
    assert_eq!(coroutine.send(()), Complete(2));
}

#[test]
fn yields_that_are_joined_have_a_step_each() {
    let coroutine = Coroutine::<_, _, char>::receiving(async |out, _| {
        join!(out.yield_(1), out.yield_(2), async {
            [out.yield_(3).await, out.yield_(4).await]
        })
    });
    let steps = ['-', 'a', 'b', 'c'].map(|value| coroutine.send(value));
    assert_eq!(steps, [1, 2, 3, 4].map(Yielded));
    assert_eq!(coroutine.send('d'), Complete(('a', 'b', ['c', 'd'])));
}

#[test]
fn combinators_that_poll_only_what_was_woken_work() {
    let coroutine = Coroutine::<_, Vec<char>, char>::receiving(async |out, _| {
        let all: FuturesUnordered<_> = (1..=3).map(|n| out.yield_(n)).collect();
        all.collect().await
    });
    let mut yielded = vec![];
    let answers = loop {
        match coroutine.send(['a', 'b', 'c', 'd'][yielded.len()]) {
            Yielded(n) => yielded.push(n),
            Complete(answers) => break answers,
        }
    };
    assert_eq!(yielded, [1, 2, 3]);
    assert_eq!(answers, ['b', 'c', 'd']);
}

#[test]
fn a_yield_that_loses_a_race_has_not_happened() {
    let drops = Drops::new();
    let (lost, kept) = (drops.guard(), drops.clone());
    let coroutine = Coroutine::new(async move |out: Yielder<_>| {
        let raced = future::select(out.yield_(Some(lost)), ready(()));
        let won = matches!(raced.await, future::Either::Right(_));
        assert_eq!((won, kept.count()), (true, 1));
        out.yield_(None).await;
    });
    assert!(matches!(coroutine.send(()), Yielded(None)));
    assert!(matches!(coroutine.send(()), Complete(())));
}

#[test]
fn an_answer_for_a_yield_that_is_gone_is_dropped() {
    let drops = Drops::new();
    let coroutine = Coroutine::receiving(async |out: Yielder<_, _>, first| {
        drop(first);
        let both = future::select(out.yield_(1), out.yield_(2));
        let future::Either::Left((answer, second)) = both.await else {
            unreachable!("the first was yielded first");
        };
        drop((answer, second));
        3
    });
    assert!(matches!(coroutine.send(drops.guard()), Yielded(1)));
    assert!(matches!(coroutine.send(drops.guard()), Complete(3)));
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_yield_outside_its_coroutine_panics() {
    let handed_out = Rc::new(RefCell::new(None));
    let hand_out = handed_out.clone();
    let coroutine = Coroutine::new(async move |out| {
        hand_out.replace(Some(out.clone()));
        out.yield_(1).await;
    });
    assert_eq!(coroutine.send(()), Yielded(1));
    let out = handed_out.take().unwrap();
    let message = panic_message(|| _ = out.yield_(2).now_or_never());
    assert_eq!(message, "a yield was awaited outside its coroutine");
    assert_eq!(coroutine.send(()), Complete(()));
}

#[test]
fn a_coroutine_inside_another_cannot_yield_for_it() {
    let outer = Coroutine::new(async |outer: Yielder<u32>| {
        let borrowed = outer.clone();
        let inner = Coroutine::<u32, ()>::new(async move |_| borrowed.yield_(1).await);
        let refused = inner.try_send(()).unwrap_err();
        outer.yield_(2).await;
        refused
    });
    assert_eq!(outer.send(()), Yielded(2));
    assert_eq!(outer.send(()), Complete(ResumeError::AwaitsOther));
}

#[test]
fn coroutines_inside_coroutines_are_driven_by_what_is_around_them() {
    let outer = Coroutine::new(async |out| {
        let inner = Coroutine::new(async |out| {
            out.yield_(1).await;
            out.yield_(2).await;
        });
        for n in inner {
            out.yield_(n * 10).await;
        }
    });
    assert_eq!(outer.collect::<Vec<_>>(), [10, 20]);
}

/// After: PEP 380, the value of `StopIteration`.
#[test]
fn an_iteration_keeps_the_result() {
    let coroutine = Coroutine::new(async |out| {
        out.yield_(1).await;
        out.yield_(2).await;
        "result"
    });
    assert_eq!(coroutine.take_result(), None);
    assert_eq!((&coroutine).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&coroutine).next(), None);
    assert_eq!(coroutine.take_result(), Some("result"));
    assert_eq!(coroutine.take_result(), None);
}

#[test]
fn an_iteration_can_be_broken_off_and_taken_up_by_hand() {
    let coroutine = Coroutine::new(async |out| {
        for n in 1.. {
            out.yield_(n).await;
        }
    });
    assert_eq!((&coroutine).find(|n| n % 3 == 0), Some(3));
    assert_eq!(coroutine.send(()), Yielded(4));
}

#[test]
fn a_yield_is_fused() {
    let fused = Rc::new(Cell::new(None));
    let see = fused.clone();
    let coroutine = Coroutine::new(async move |out: Yielder<()>| {
        let mut yielding: Yielding<()> = out.yield_(());
        let before = future::FusedFuture::is_terminated(&yielding);
        (&mut yielding).await;
        see.set(Some((
            before,
            future::FusedFuture::is_terminated(&yielding),
        )));
        yielding.await
    });
    assert_eq!(coroutine.send(()), Yielded(()));
    let message = panic_message(|| _ = coroutine.send(()));
    assert_eq!(message, "a yield was awaited again after it was over");
    assert_eq!(fused.get(), Some((false, true)));
}

#[test]
fn debug_tells_the_stage() {
    let coroutine = Coroutine::new(async |out: Yielder<()>| out.yield_(()).await);
    assert!(format!("{coroutine:?}").starts_with("Coroutine { stage: Suspended, created_at: "));
    coroutine.close();
    assert!(format!("{coroutine:?}").starts_with("Coroutine { stage: Over, created_at: "));
}

/// A coroutine that has a handle of itself.
fn recursive<Y: 'static, R: 'static>(
    body: impl AsyncFnOnce(Yielder<Y>, Rc<Coroutine<Y, R>>) -> R + 'static,
) -> Rc<Coroutine<Y, R>> {
    let itself = Rc::new(RefCell::new(None));
    let found: Rc<RefCell<Option<Rc<_>>>> = itself.clone();
    let coroutine = Rc::new(Coroutine::new(async move |out| {
        let itself = found.take().expect("it is there before the start");
        body(out, itself).await
    }));
    itself.replace(Some(coroutine.clone()));
    coroutine
}

/// What `action` panics with.
#[track_caller]
fn panic_message(action: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(action)).expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

/// States can be compared, copied and printed.
const _: () = {
    const fn has<T: Copy + Eq + std::hash::Hash + std::fmt::Debug>() {}
    has::<CoroutineState<u8, u8>>();
};
