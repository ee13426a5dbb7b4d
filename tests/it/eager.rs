//! Tasks that start at once, inside the call that makes them.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use callsoon::{
    EventLoop, TaskGroup, catch_cancel, create_future, create_task, current_task, gather,
    get_running_loop, sleep, task, task_group, timeout, yield_now,
};

use crate::support::{Drops, Log, OnDrop, fails, ms, settle, turn, turns_of, virtual_loop};

/// A1: what does not wait is done when the call returns, and its callbacks run in the next turn.
#[test]
fn coroutine_that_does_not_wait_is_done_at_once() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let (turns, _) = turns_of(&event_loop, async move {
        let inner = events.clone();
        let eager = task(async move { inner.push("runs") })
            .eager_start()
            .spawn();
        events.push(format_args!("done {}", eager.done()));
        let seen = events.clone();
        eager.add_done_callback(move |_| seen.push("callback"));
        eager.await;
        events.push("awaited");
        yield_now().await;
        events.push("next turn");
    });
    log.expect(&["runs", "done true", "awaited", "callback", "next turn"]);
    assert_eq!(turns, 1);
}

/// A1: otherwise it runs to its first wait, and goes on like any task.
#[test]
fn coroutine_that_waits_goes_on_like_any_task() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop
        .run_until_complete(async move {
            let inner = events.clone();
            let eager = task(async move {
                inner.push("eager 1");
                yield_now().await;
                inner.push("eager 2");
                5
            })
            .eager_start()
            .spawn();
            let other = events.clone();
            create_task(async move { other.push("queued") });
            events.push("creator");
            assert_eq!(eager.await, 5);
        })
        .unwrap();
    log.expect(&["eager 1", "creator", "eager 2", "queued"]);
}

/// A2: it is the current task meanwhile, to any depth, and the creator is restored.
#[test]
fn current_task_is_the_eager_one_and_then_the_creator_again() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let creator = current_task().unwrap();
            let outside = creator.clone();
            let eager = task(async move {
                let me = current_task().unwrap();
                assert_ne!(me, outside);
                let inner = task(async move { current_task() }).eager_start().spawn();
                assert_ne!(inner.await.unwrap(), me);
                assert_eq!(current_task().unwrap(), me);
            })
            .eager_start()
            .spawn();
            assert!(eager.done());
            assert_eq!(current_task().unwrap(), creator);
        })
        .unwrap();
}

/// A2: also when it panics.
#[test]
fn creator_is_restored_behind_a_panic() {
    let event_loop = virtual_loop();
    let caught = event_loop.run_until_complete(async {
        let creator = current_task();
        let eager = task(async { panic!("bang") }).eager_start().spawn();
        assert!(eager.done());
        assert_eq!(current_task(), creator);
        eager
            .outcome()
            .await
            .unwrap_err()
            .panic()
            .map(|panic| panic.message().to_owned())
    });
    assert_eq!(caught.unwrap().as_deref(), Some("bang"));
}

/// A2: in a callback there is no current task, before and after.
#[test]
fn eager_start_in_a_callback() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.call_soon(move || {
        let eager = task(async { current_task().is_some() })
            .eager_start()
            .spawn();
        events.push(format_args!(
            "{:?} {}",
            eager.take_result().ok(),
            current_task().is_none()
        ));
    });
    turn(&event_loop);
    log.expect(&["Some(true) true"]);
}

/// A3: a gather of what was done eagerly is done at once, and costs no turn.
#[test]
fn gather_of_eager_tasks_is_done_on_return() {
    let (turns, task) = turns_of(&virtual_loop(), async {
        let tasks = [1, 2, 3].map(|n| task(async move { n }).eager_start().spawn());
        let gathered = gather(tasks);
        (gathered.done(), gathered.await)
    });
    assert_eq!((turns, task.take_result().unwrap()), (0, (true, [1, 2, 3])));
}

/// A4: on a loop that does not run it starts in the first turn.
#[test]
fn eager_start_on_a_loop_that_does_not_run_is_queued() {
    let event_loop = virtual_loop();
    let ran = Rc::new(Cell::new(false));
    let inside = ran.clone();
    let task = event_loop
        .task(async move { inside.set(true) })
        .eager_start()
        .spawn();
    assert!(!ran.get() && !task.done());
    turn(&event_loop);
    assert!(ran.get() && task.done());
}

/// A4: nor in another loop's run.
#[test]
fn eager_start_on_another_loop_is_queued() {
    let (outer, inner) = (virtual_loop(), virtual_loop());
    let handle = inner.handle();
    let task = outer
        .run_until_complete(async move { Some(handle.task(async { 1 }).eager_start().spawn()) })
        .unwrap();
    let task = task.expect("it was made");
    assert!(!task.done());
    assert_eq!(inner.run_until_complete(task).unwrap(), 1);
}

/// A5: an eager child fails before its group knows it: the group aborts one turn later.
#[test]
fn eager_child_that_fails_aborts_its_group_in_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let (turns, ended) = turns_of(&event_loop, async move {
        TaskGroup::run(async |group| {
            let child = group.task(fails("no")).eager_start().try_spawn();
            events.push(format_args!("{} {}", child.done(), group.is_closed()));
            let late = events.clone();
            group.create_task(async move { late.push("sibling ran") });
            sleep(ms(90)).await;
            Ok(())
        })
        .await
    });
    assert_eq!(ended.take_result().unwrap().unwrap_err().errors(), ["no"]);
    // The sibling was queued behind the group's callback, which cancelled it.
    log.expect(&["true false"]);
    assert_eq!(turns, 3);
}

/// A5: nothing of a child runs, eager or not, once its group takes no tasks.
#[test]
fn eager_child_of_an_aborting_group_never_starts() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result: Result<Result<(), _>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            group.create_try_task(fails("no"));
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            let inner = events.clone();
            let late = group
                .task(async move { inner.push("ran") })
                .eager_start()
                .spawn();
            events.push(format_args!("{} {}", late.cancelled(), group.is_closed()));
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["no"]);
    log.expect(&["true true"]);
}

/// A child that is over at once is one that the group waits for.
#[test]
fn group_of_eager_children_waits_for_their_callbacks() {
    let (turns, task) = turns_of(
        &virtual_loop(),
        task_group(async |group| group.task(async { 3 }).eager_start().spawn()),
    );
    assert_eq!(
        (turns, task.take_result().unwrap().take_result().unwrap()),
        (2, 3)
    );
}

// ---- cancellation

/// C11, C12: it cancels itself in its eager step.
#[test]
fn self_cancel_in_the_eager_step() {
    let event_loop = virtual_loop();
    let (returned, waited) = event_loop
        .run_until_complete(async {
            let cancel = || {
                current_task().unwrap().cancel();
            };
            let returned = task(async move { cancel() }).eager_start().spawn();
            assert!(returned.cancelled());
            let waited = task(async move {
                cancel();
                catch_cancel(sleep(ms(90))).await.is_err()
            })
            .eager_start()
            .spawn();
            assert!(!waited.done());
            (returned.outcome().await.is_err(), waited.await)
        })
        .unwrap();
    assert!(returned && waited);
    assert_eq!(event_loop.time(), ms(0));
}

/// It cancels its creator, which is in the middle of its step: that takes effect at its next await.
#[test]
fn eager_task_cancels_its_creator() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let creator = event_loop.create_task(async move {
        let me = current_task().unwrap();
        let caught = catch_cancel(async {
            let asked = task(async move { me.cancel() }).eager_start().spawn();
            events.push(asked.await);
            yield_now().await;
            events.push("not reached");
        });
        events.push(caught.await.is_err());
    });
    event_loop.run_until_complete(creator).unwrap();
    log.expect(&["true", "true"]);
}

/// A raise in the eager step is caught there, and not in a scope of the creator.
#[test]
fn raise_in_the_eager_step_stays_in_the_task() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let cancelled = create_future::<()>();
        cancelled.cancel();
        let caught = catch_cancel(async {
            let shared = cancelled.clone();
            let bare = task(shared).eager_start().spawn();
            let own = task(async move { catch_cancel(cancelled).await.is_err() });
            (
                bare.cancelled(),
                own.eager_start().spawn().take_result().unwrap(),
            )
        });
        caught.await.unwrap()
    });
    assert_eq!(result.unwrap(), (true, true));
}

/// It is made in a drop, while the creator unwinds: it runs as always.
#[test]
fn eager_start_while_the_creator_unwinds() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let _cleans = OnDrop::new(move || {
            drop(
                task(async move {
                    yield_now().await;
                    events.push("cleaned");
                    timeout(ms(10), pending::<()>()).await.unwrap_err();
                    events.push("expired");
                })
                .eager_start()
                .spawn(),
            );
        });
        catch_cancel(pending::<()>())
            .await
            .unwrap_err()
            .reraise()
            .await
    });
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    event_loop.run_until_complete(sleep(ms(20))).unwrap();
    log.expect(&["cleaned", "expired"]);
}

// ---- the rest

/// It closes over what it likes, and its name is there in the first step.
#[test]
fn eager_task_has_its_name_in_its_first_step() {
    let event_loop = virtual_loop();
    let name = event_loop.run_until_complete(async {
        let shared = Rc::new(RefCell::new(String::new()));
        let inside = shared.clone();
        let builder = task(async move {
            *inside.borrow_mut() = current_task().unwrap().name();
        });
        drop(builder.name("swift").eager_start().spawn());
        shared.take()
    });
    assert_eq!(name.unwrap(), "swift");
}

/// A hundred thousand, one after the other, leave nothing behind.
#[test]
fn hundred_thousand_eager_tasks() {
    let (event_loop, drops): (EventLoop, _) = (virtual_loop(), Drops::new());
    let counted = drops.clone();
    let sum = event_loop.run_until_complete(async move {
        let mut sum = 0;
        for n in 0..100_000_u64 {
            let guard = counted.guard();
            let eager = task(async move {
                let _guard = guard;
                n % 2
            });
            sum += eager.eager_start().spawn().await;
        }
        sum + get_running_loop().all_tasks().len() as u64
    });
    assert_eq!(sum.unwrap(), 50_001);
    assert_eq!(drops.count(), 100_000);
}
