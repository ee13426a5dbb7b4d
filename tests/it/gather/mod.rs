//! `gather`, `try_gather` and `gather_outcomes`. The turns are those that CPython 3.13 takes.

mod again;
mod arguments;
mod cancel;
mod drops;
mod size;

use std::future::pending;

use callsoon::{
    CancelOrigin, Future, ResultError, Task, catch_cancel, create_future, create_task,
    create_try_task, gather, gather_outcomes, get_running_loop, try_gather, yield_now,
};

use crate::support::{Log, Turns, done_future, reports_to, settle, steps, virtual_loop};

// ---- turns

/// G3, and table 2.0: children end at 1 and 3, the gather one turn after the last, its awaiter one later.
#[test]
fn a_gather_is_done_one_turn_after_its_last_child_and_its_awaiter_goes_on_one_later() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let both = gather((steps(events.clone(), "a", 0), steps(events.clone(), "b", 2)));
        both.add_done_callback(events.done("gather"));
        events.push(format_args!("{:?}", both.await));
    });
    log.expect(&[
        "1 a starts",
        "1 a ends",
        "1 b starts",
        "3 b ends",
        "5 gather done",
        r#"5 ("a", "b")"#,
    ]);
}

/// G13: what is done already costs nothing.
#[test]
fn a_gather_of_done_futures_is_born_done() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (one, two) = (done_future(1), done_future("two"));
        let both = gather((&one, two));
        events.push(both.done());
        events.push(format_args!("{:?}", both.await));
    });
    log.expect(&["0 true", r#"0 (1, "two")"#]);
}

/// G13: some are done, and only the others are waited for.
#[test]
fn children_that_are_done_are_dealt_with_in_the_call() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let both = gather((done_future(1), steps(events.clone(), "a", 0)));
        events.push(format_args!("{:?}", both.await));
    });
    log.expect(&["1 a starts", "1 a ends", r#"3 (1, "a")"#]);
}

/// G1.
#[test]
fn a_gather_of_nothing_is_done() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let nothing = gather(());
            assert!(nothing.done());
            nothing.await;
            let no_tasks = Vec::<Task<u32>>::new();
            assert!(gather(&no_tasks).done());
            assert!(gather(no_tasks).await.is_empty());
            assert!(gather([(); 0].map(|()| async {})).await.is_empty());
            assert!(
                try_gather(Vec::<Task<Result<u32, ()>>>::new())
                    .await
                    .is_ok()
            );
            assert!(
                gather_outcomes(std::iter::empty::<Task<u32>>())
                    .await
                    .is_empty()
            );
        })
        .unwrap();
}

/// G2.
#[test]
fn coroutines_become_tasks_in_the_order_of_the_arguments_also_if_nobody_awaits() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let line = line!() + 1;
        let both = gather((steps(events.clone(), "a", 0), steps(events.clone(), "b", 0)));
        let made = get_running_loop().all_tasks();
        assert_eq!(made.len(), 3);
        assert!(
            made[1..]
                .iter()
                .all(|task| task.created_at().line() == line)
        );
        assert_eq!(both.created_at().line(), line);
        yield_now().await;
        yield_now().await;
    });
    log.expect(&["1 a starts", "1 a ends", "1 b starts", "1 b ends"]);
}

/// A gather of gathers takes a turn per level.
#[test]
fn gathers_nest() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let left = gather((steps(events.clone(), "a", 0), steps(events.clone(), "b", 0)));
        let all = gather((left, gather([steps(events.clone(), "c", 2)])));
        all.add_done_callback(events.done("gather"));
        events.push(format_args!("{:?}", all.await));
    });
    log.expect(&[
        "1 a starts",
        "1 a ends",
        "1 b starts",
        "1 b ends",
        "1 c starts",
        "3 c ends",
        "6 gather done",
        r#"6 (("a", "b"), ["c"])"#,
    ]);
}

// ---- failures

/// G4: the first failure completes it; siblings run on.
#[test]
fn the_first_error_ends_a_try_gather_and_leaves_the_siblings_alone() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let fails = create_task(fails(1, "first"));
        let works = create_task(works(3));
        let all = try_gather((fails, &works, self::fails(5, "later")));
        all.add_done_callback(events.done("gather"));
        events.push(all.await.unwrap_err());
        events.push(works.done());
        assert_eq!(works.await, Ok(()));
    });
    log.expect(&["4 gather done", "4 first", "4 false"]);
}

/// Of two errors in one turn the one that came first counts, not that of the first argument.
#[test]
fn the_error_that_came_first_counts() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (one, two) = (create_future::<Result<(), _>>(), create_future());
        let both = try_gather((&one, &two));
        two.set_result(Err::<u32, _>("two")).unwrap();
        one.set_result(Err("one")).unwrap();
        events.push(both.await.unwrap_err());
    });
    log.expect(&["2 two"]);
}

/// G4, G13: an error that is there already ends it in the call.
#[test]
fn an_error_that_is_there_already_ends_it_at_once() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let never = create_task(pending::<Result<(), &str>>());
        let failed = done_future(Err::<u32, _>("failed"));
        let both = try_gather((&never, failed));
        events.push(both.done());
        events.push(both.await.unwrap_err());
        assert!(!never.done());
    });
    log.expect(&["0 true", "0 failed"]);
}

/// G5: errors that come later disappear without a report, and so do those that came before but were
/// not the first.
#[test]
fn later_errors_are_not_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    event_loop
        .run_until_complete(async {
            let all = try_gather([
                create_try_task(fails(1, "first")),
                create_try_task(fails(1, "in the same turn")),
                create_try_task(fails(2, "before it is noticed")),
                create_try_task(fails(7, "later")),
            ]);
            assert_eq!(all.await, Err("first"));
            for _ in 0..10 {
                yield_now().await;
            }
        })
        .unwrap();
    log.expect(&[]);
}

/// DIFFERENCE: a panic is a bug, and never disappears (DESIGN, panics are always reported).
#[test]
fn a_later_panic_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    event_loop
        .run_until_complete(async {
            let all = gather((panics_after(1, "first"), panics_after(3, "later")));
            assert_eq!(all.outcome().await.unwrap_err().message(), Some("first"));
            for _ in 0..5 {
                yield_now().await;
            }
        })
        .unwrap();
    log.expect(&["task panic was never retrieved"]);
}

/// F17, F18: what nobody has looked at when the last handle goes is reported, once.
#[test]
fn a_failure_of_a_gather_that_nobody_looks_at_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let failed = try_gather([event_loop.create_try_task(fails(0, "unheard"))]);
    let broken = gather([event_loop.create_task(panics_after(0, "unseen"))]);
    settle(&event_loop);
    assert!(failed.done() && broken.done());
    log.expect(&[]);
    drop(failed);
    log.expect(&["gather error was never retrieved"]);
    drop(broken);
    log.expect(&["gather panic was never retrieved"]);
}

/// A child that panics ends it, and the panic goes on in the awaiter, payload and all.
#[test]
fn a_panic_of_a_child_goes_on_in_the_awaiter() {
    let event_loop = virtual_loop();
    let sibling = event_loop.create_task(pending::<()>());
    let both = gather((&sibling, event_loop.create_task(panics_after(0, "boom"))));
    let awaiter = event_loop.create_task(both);
    settle(&event_loop);
    let Err(ResultError::Panicked(panic)) = awaiter.result() else {
        panic!("it panicked: {awaiter:?}");
    };
    assert_eq!(panic.message(), "boom");
    assert!(!sibling.done());
}

/// G6: whatever a child ends with is a value among the others.
#[test]
fn outcomes_hold_results_cancellations_and_panics_in_order() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let cancelled = create_task(pending::<u8>());
        cancelled.cancel_with("stop");
        let all = gather_outcomes((
            steps(events.clone(), "a", 0),
            cancelled,
            panics_after(2, "boom"),
            done_future(1),
        ));
        let (a, cancelled, panicked, one) = all.await;
        events.push(a.unwrap());
        let cancelled = cancelled.unwrap_err();
        events.push(cancelled.message().unwrap());
        assert_eq!(cancelled.origin(), CancelOrigin::Requested);
        events.push(panicked.unwrap_err().panic().unwrap().message());
        events.push(one.unwrap());
    });
    log.expect(&["1 a starts", "1 a ends", "5 a", "5 stop", "5 boom", "5 1"]);
}

// ---- helpers

/// Waits; when cancelled, cleans up for some turns, and then declines or not.
async fn waits(
    log: Turns,
    name: &'static str,
    future: Future<()>,
    turns: usize,
    declines: bool,
) -> String {
    let Err(why) = catch_cancel(future).await else {
        return format!("{name} done");
    };
    log.push(format_args!("{name} cancelled {:?}", why.message()));
    for _ in 0..turns {
        yield_now().await;
    }
    log.push(format_args!("{name} cleaned"));
    if declines {
        return format!("{name} declined");
    }
    why.reraise().await
}

async fn works(turns: usize) -> Result<(), &'static str> {
    for _ in 0..turns {
        yield_now().await;
    }
    Ok(())
}

async fn fails(turns: usize, error: &'static str) -> Result<(), &'static str> {
    works(turns).await?;
    Err(error)
}

async fn panics_after(turns: usize, message: &'static str) {
    works(turns).await.unwrap();
    std::panic::panic_any(message.to_owned());
}

fn panic_message<T>(future: &Future<T>) -> String {
    future.with_result(|result| match result {
        Err(ResultError::Panicked(panic)) => panic.message().to_owned(),
        _ => panic!("it did not panic: {future:?}"),
    })
}
