//! `Task`: stepping, names, who runs, and coroutines that await what is not ours.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use callsoon::{
    EventLoop, Future, PanicError, ResultError, RunError, Task, TaskHandle, all_tasks, call_soon,
    create_task, current_task, get_running_loop, sleep, sleep_until, try_get_running_loop,
    yield_now,
};
use futures::StreamExt;

use crate::support::{Drops, Log, ms, settle, turn, virtual_loop};

// ---- stepping

/// T1: `create_task` runs no user code; the first steps come in the next turn, in creation order,
/// among the callbacks.
#[test]
fn tasks_start_in_the_next_turn_in_order_of_creation() {
    let event_loop = virtual_loop();
    let log = Log::new();
    event_loop.call_soon(log.event("callback 1"));
    let a = event_loop.create_task(say(&log, "a"));
    event_loop.call_soon(log.event("callback 2"));
    let b = event_loop.create_task(say(&log, "b"));
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 4);
    log.expect(&["callback 1", "a", "callback 2", "b"]);
    assert!(a.done() && b.done());
}

/// T1: a task made inside a turn starts in the next one.
#[test]
fn task_made_in_a_turn_starts_in_the_next() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.call_soon(move || {
        create_task(say(&events, "child"));
        events.push("callback");
    });
    turn(&event_loop);
    log.expect(&["callback"]);
    turn(&event_loop);
    log.expect(&["child"]);
}

/// T2: a step goes on until something is pending; nested coroutines and ready awaits cost no turn.
#[test]
fn nested_coroutines_and_ready_awaits_cost_no_turn() {
    async fn inner(depth: u32, done: &Future<u32>) -> u32 {
        if depth == 0 {
            return done.await;
        }
        Box::pin(inner(depth - 1, done)).await + std::future::ready(1).await
    }
    let event_loop = virtual_loop();
    let done = event_loop.create_future();
    done.set_result(10).unwrap();
    let task = event_loop.create_task(async move { inner(20, &done).await });
    turn(&event_loop);
    assert_eq!(task.result().unwrap(), 30);
}

/// T3, and table 2.0 (`sleep(0)`: 1): it costs exactly one turn.
#[test]
fn sleep_of_zero_and_yield_now_cost_one_turn() {
    for yielding in [false, true] {
        let event_loop = virtual_loop();
        let task = event_loop.create_task(async move {
            if yielding {
                yield_now().await;
            } else {
                sleep(Duration::ZERO).await;
            }
        });
        turn(&event_loop);
        assert!(!task.done());
        turn(&event_loop);
        assert!(task.done());
        assert_eq!(event_loop.time(), Duration::ZERO);
    }
}

/// T3: tasks that loop over `sleep(0)` interleave strictly.
#[test]
fn tasks_that_yield_interleave_round_robin() {
    let event_loop = virtual_loop();
    let log = Log::new();
    for name in ["a", "b", "c"] {
        let log = log.clone();
        event_loop.create_task(async move {
            for round in 0..3 {
                log.push(format!("{name}{round}"));
                sleep(Duration::ZERO).await;
            }
        });
    }
    settle(&event_loop);
    log.expect(&["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
}

/// T4, and table 2.0 (create, await: 2): the child runs in turn 1; its callbacks and its parent go
/// on in turn 2.
#[test]
fn parent_goes_on_one_turn_after_the_child_ends() {
    let event_loop = virtual_loop();
    let turns = Turns::default();
    let (log, counter) = (Log::new(), turns.clone());
    let events = log.clone();
    event_loop.create_task(async move {
        let (inner, inner_turns) = (events.clone(), counter.clone());
        let child = create_task(async move { inner.push(format!("child {}", inner_turns.now())) });
        let (outer, outer_turns) = (events.clone(), counter.clone());
        child.add_done_callback(move |_| outer.push(format!("callback {}", outer_turns.now())));
        events.push(format!("create {}", counter.now()));
        child.await;
        events.push(format!("parent {}", counter.now()));
    });
    turns.run(&event_loop, 4);
    log.expect(&["create 0", "child 1", "callback 2", "parent 2"]);
}

/// Table 2.0: a future completed by another task in turn n resumes its awaiter in n + 1.
#[test]
fn future_completed_in_a_turn_resumes_its_awaiter_in_the_next() {
    let event_loop = virtual_loop();
    let turns = Turns::default();
    let log = Log::new();
    let future = event_loop.create_future();
    let (awaited, events, counter) = (future.clone(), log.clone(), turns.clone());
    event_loop.create_task(async move {
        awaited.await;
        events.push(format!("awaiter {}", counter.now()));
    });
    let (events, counter) = (log.clone(), turns.clone());
    event_loop.create_task(async move {
        yield_now().await;
        yield_now().await;
        future.set_result(()).unwrap();
        events.push(format!("completer {}", counter.now()));
    });
    turns.run(&event_loop, 5);
    log.expect(&["completer 2", "awaiter 3"]);
}

/// T5: an error and a panic of a task are stored, and never leave the loop.
#[test]
fn errors_and_panics_stay_in_their_task() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let failed = event_loop.create_try_task(async { Err::<(), _>("failed") });
    let panicked: Task<()> = event_loop.create_task(async { panic!("bug") });
    event_loop.call_soon(log.event("the turn goes on"));
    turn(&event_loop);
    log.expect(&["the turn goes on"]);
    assert_eq!(failed.exception().unwrap(), Some("failed"));
    assert!(matches!(panicked.result(), Err(ResultError::Panicked(_))));
}

/// T6: the result of a task is set by its coroutine alone.
#[test]
fn set_result_on_a_task_is_refused() {
    let event_loop = virtual_loop();
    let task = event_loop.create_try_task(async { Ok::<u32, &str>(1) });
    let refused = task.set_result(Ok(2)).unwrap_err();
    let site = task.created_at();
    assert_eq!(
        refused.to_string(),
        format!("task created at {site} gets its result from its coroutine alone")
    );
    assert_eq!(refused.into_value(), Ok(2));
    assert_eq!(task.set_exception("x").unwrap_err().into_value(), "x");
    let shared: Future<_> = (*task).clone();
    assert!(shared.set_result(Ok(3)).is_err());
    turn(&event_loop);
    assert_eq!(task.result().unwrap(), Ok(1));
}

/// T7: a task that awaits itself fails one turn later, with a message that names it.
#[test]
fn task_that_awaits_itself_panics_one_turn_later() {
    let event_loop = virtual_loop();
    let slot: Rc<RefCell<Option<Future<()>>>> = Rc::default();
    let mine = slot.clone();
    let task = event_loop
        .task(async move {
            let me = mine.take().unwrap();
            me.await;
        })
        .name("narcissus")
        .spawn();
    slot.replace(Some((*task).clone()));
    turn(&event_loop);
    assert!(!task.done());
    turn(&event_loop);
    let panic = panic_of(&task);
    assert!(
        panic.message().starts_with("task 'narcissus' (created at "),
        "{panic}"
    );
    assert!(panic.message().ends_with(") awaits itself"), "{panic}");
}

/// T8: any `IntoFuture` becomes a task; what is a future already is run as it is.
#[test]
fn run_until_complete_takes_futures_as_they_are_and_makes_tasks_of_the_rest() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(1).unwrap();
    assert_eq!(event_loop.run_until_complete(&future).unwrap(), 1);
    assert_eq!(event_loop.run_until_complete(future).unwrap(), 1);
    let task = event_loop.create_task(async { 2 });
    assert_eq!(event_loop.run_until_complete(&task).unwrap(), 2);
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 2);
    let with_task = event_loop.run_until_complete(async { current_task().is_some() });
    assert!(with_task.unwrap());
}

// ---- names, handles, who runs

/// T9: names are `Task-N`, from one counter of the process (DIFFERENCE: each thread takes numbers
/// in blocks, so they are consecutive within a thread).
#[test]
fn default_names_count_up() {
    let event_loop = virtual_loop();
    let numbers: Vec<u64> = (0..3)
        .map(|_| {
            let name = event_loop.create_task(async {}).name();
            name.strip_prefix("Task-").unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(numbers[1], numbers[0] + 1);
    assert_eq!(numbers[2], numbers[0] + 2);
}

/// T9: a task can be named when it is made, and renamed through any handle.
#[test]
fn tasks_can_be_named_and_renamed() {
    let event_loop = virtual_loop();
    let task = event_loop.task(async {}).name("reader").spawn();
    assert_eq!(task.name(), "reader");
    task.set_name("writer");
    assert_eq!(task.handle().name(), "writer");
    task.handle().set_name(format!("{}-{}", "worker", 7));
    assert_eq!(task.name(), "worker-7");
    turn(&event_loop);
    assert_eq!(task.name(), "worker-7");
    let unnamed = event_loop.create_task(async {});
    unnamed.set_name("late");
    assert_eq!(unnamed.name(), "late");
}

/// T10: `all_tasks` has every unfinished task, unstarted ones too, and drops it once it is done.
#[test]
fn all_tasks_lists_the_unfinished_in_order_of_creation() {
    let event_loop = virtual_loop();
    let gate = event_loop.create_future::<()>();
    let a = event_loop.create_task(gate.clone());
    let b = event_loop.create_task(async {});
    let c = event_loop.create_task(gate.clone());
    assert_eq!(event_loop.all_tasks(), [a.handle(), b.handle(), c.handle()]);
    turn(&event_loop);
    assert_eq!(event_loop.all_tasks(), [a.handle(), c.handle()]);
    // The slot of `b` is free, yet a newer task comes last.
    gate.set_result(()).unwrap();
    let d = event_loop.create_task(async { all_tasks() });
    assert_eq!(event_loop.all_tasks(), [a.handle(), c.handle(), d.handle()]);
    turn(&event_loop);
    assert_eq!(
        d.result().unwrap(),
        [d.handle()],
        "the others are done by then"
    );
    assert!(event_loop.all_tasks().is_empty());
}

/// T10: a done-callback does not find its task among the unfinished ones.
#[test]
fn done_callback_runs_when_the_task_is_off_the_list() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    let task = event_loop.create_task(async {});
    task.add_done_callback(move |_| events.push(all_tasks().len()));
    settle(&event_loop);
    log.expect(&["0"]);
}

/// T11, DIFFERENCE (DESIGN 9.2): the loop owns its tasks; one whose handle is dropped runs on.
#[test]
fn detached_task_runs_on() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    drop(event_loop.create_task(async move {
        sleep(ms(10)).await;
        events.push("done");
    }));
    event_loop.run_forever();
    log.expect(&["done"]);
}

/// T11: nobody else holds what it waits for: the task stays, waiting, and is known to the loop.
#[test]
fn task_waiting_for_a_forgotten_future_stays_with_the_loop() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let guard = drops.guard();
    let never = event_loop.create_future::<()>();
    drop(event_loop.create_task(async move {
        let _guard = guard;
        never.await;
    }));
    settle(&event_loop);
    assert_eq!(event_loop.all_tasks().len(), 1);
    assert_eq!(drops.count(), 0);
    drop(event_loop);
    assert_eq!(drops.count(), 1);
}

/// T14: awaiting a finished task twice gives the same outcome twice.
#[test]
fn finished_task_can_be_awaited_again_by_reference() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { "out".to_owned() });
    let both = event_loop.run_until_complete(async move { ((&task).await, (&task).await) });
    assert_eq!(both.unwrap(), ("out".to_owned(), "out".to_owned()));
}

/// T16: if no task can be made, the coroutine is dropped, without a run.
#[test]
fn refused_coroutine_is_dropped() {
    let event_loop = virtual_loop();
    event_loop.close();
    let drops = Drops::new();
    let guard = drops.guard();
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        event_loop.create_task(async move { drop(guard) })
    }));
    assert!(refused.is_err());
    assert_eq!(drops.count(), 1);
}

/// T17: a sleep ends one turn after its timer fires, and `sleep(0)` after one turn.
#[test]
fn sleep_takes_its_time_and_one_turn() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.create_task(async move {
        sleep(ms(5)).await;
        events.push("slept");
    });
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), Some(ms(5)));
    event_loop.advance(ms(5));
    event_loop.call_soon(log.event("queued"));
    turn(&event_loop);
    log.expect(&["queued"]);
    turn(&event_loop);
    log.expect(&["slept"]);
}

/// T17: the delay counts from the first poll, not from the call.
#[test]
fn sleep_starts_at_its_first_poll() {
    let event_loop = virtual_loop();
    let loop_handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let later = sleep(ms(10));
            sleep(ms(3)).await;
            later.await;
            assert_eq!(loop_handle.time(), ms(13));
            sleep_until(ms(20)).await;
            assert_eq!(loop_handle.time(), ms(20));
            sleep_until(ms(1)).await;
            assert_eq!(loop_handle.time(), ms(20));
        })
        .unwrap();
}

/// T17: cancelling a sleeper cancels its timer, and so does dropping the sleep.
#[test]
fn cancelled_or_dropped_sleep_leaves_no_timer() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(sleep(ms(1000)));
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), Some(ms(1000)));
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(event_loop.next_deadline(), None);

    event_loop.create_task(async {
        futures::select_biased! {
            () = sleep(ms(500)) => unreachable!(),
            () = sleep(ms(1)) => {}
        }
        std::future::pending::<()>().await;
    });
    event_loop.run_forever();
    assert_eq!(event_loop.time(), ms(1));
}

/// A sleep needs a running loop.
#[test]
#[should_panic(expected = "no running event loop")]
fn sleep_outside_a_loop_panics() {
    futures::executor::block_on(sleep(ms(1)));
}

/// T18: a step inside a step cannot be had: running the loop there is refused, and leaves the
/// outer step and run untouched.
#[test]
fn loop_cannot_be_run_inside_a_step() {
    let event_loop = Rc::new(virtual_loop());
    let inner = event_loop.clone();
    let task = event_loop.create_task(async move {
        let me = current_task();
        assert!(matches!(
            inner.run_once(None),
            Err(RunError::AlreadyRunning(_))
        ));
        assert!(matches!(
            inner.run_until_complete(async {}),
            Err(RunError::AlreadyRunning(_))
        ));
        assert!(matches!(
            virtual_loop().run_once(None),
            Err(RunError::AlreadyRunning(_))
        ));
        me == current_task() && inner.is_running()
    });
    assert!(event_loop.run_until_complete(task).unwrap());
}

/// L16: inside a plain callback there is no current task, even if a task scheduled it.
#[test]
fn current_task_is_the_one_that_steps_and_none_in_callbacks() {
    let event_loop = virtual_loop();
    assert!(current_task().is_none());
    let log = Log::new();
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let in_callback = events.clone();
        call_soon(move || in_callback.push(format!("callback: {}", current_task().is_some())));
        yield_now().await;
        current_task().unwrap()
    });
    task.add_done_callback({
        let log = log.clone();
        move |_| log.push(format!("done-callback: {}", current_task().is_some()))
    });
    settle(&event_loop);
    log.expect(&["callback: false", "done-callback: false"]);
    assert_eq!(task.result().unwrap(), task.handle());
    assert!(current_task().is_none());
}

/// While a coroutine is dropped by its own task, that task is the current one.
#[test]
fn current_task_is_known_while_the_coroutine_is_dropped() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let _guard = crate::support::OnDrop::new(move || {
            events.push(current_task().unwrap().name());
        });
        std::future::pending::<()>().await;
    });
    task.set_name("dying");
    turn(&event_loop);
    task.cancel();
    turn(&event_loop);
    log.expect(&["dying"]);
}

/// Handles of one task are equal, whatever they came from, and hash alike.
#[test]
fn task_handles_are_equal_when_their_tasks_are() {
    let event_loop = virtual_loop();
    let one = event_loop.create_task(async { current_task().unwrap() });
    let two = event_loop.create_task(async { current_task().unwrap() });
    assert_eq!(one.handle(), event_loop.all_tasks()[0]);
    assert_ne!(one.handle(), two.handle());
    assert_ne!(one.handle().id(), two.handle().id());
    turn(&event_loop);
    assert_eq!(one.handle(), one.result().unwrap());
    let set: HashSet<TaskHandle> = [one.handle(), one.handle(), two.handle()].into();
    assert_eq!(set.len(), 2);
}

/// A `TaskHandle` tells and does what needs no result type.
#[test]
fn task_handle_tells_state_and_cancels() {
    let event_loop = virtual_loop();
    let line = line!() + 1;
    let task = event_loop.create_task(std::future::pending::<()>());
    let handle = task.handle();
    assert_eq!(handle.created_at().line(), line);
    assert!(!handle.done() && !handle.cancelled());
    assert!(handle.cancel_with("stop"));
    assert!(handle.cancel());
    assert_eq!(handle.cancelling(), 2);
    assert_eq!(handle.uncancel(), 1);
    turn(&event_loop);
    assert!(handle.done() && handle.cancelled());
    assert!(!handle.cancel());
}

/// The running loop is at hand inside callbacks, coroutines and their `Drop`s, and nowhere else.
#[test]
fn running_loop_is_known_inside_and_unknown_outside() {
    assert!(try_get_running_loop().is_err());
    let event_loop = virtual_loop();
    let mine = event_loop.handle();
    let task = event_loop.create_task(async move { get_running_loop() == mine });
    assert!(event_loop.run_until_complete(task).unwrap());
    assert!(try_get_running_loop().is_err());
}

// ---- coroutines that await what is not ours

/// A channel of another crate wakes our task through the waker: in the next turn, once.
#[test]
fn foreign_channel_wakes_a_task_in_the_next_turn() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let (send, mut receive) = futures::channel::mpsc::unbounded::<u32>();
    let events = log.clone();
    event_loop.create_task(async move {
        while let Some(value) = receive.next().await {
            events.push(value);
        }
        events.push("closed");
    });
    let events = log.clone();
    event_loop.create_task(async move {
        for i in 0..3 {
            send.unbounded_send(i).unwrap();
            events.push(format!("sent {i}"));
            yield_now().await;
        }
    });
    settle(&event_loop);
    log.expect(&["sent 0", "0", "sent 1", "1", "sent 2", "2", "closed"]);
}

/// A oneshot that is sent from outside any turn wakes the task all the same.
#[test]
fn foreign_oneshot_sent_outside_a_turn_wakes_the_task() {
    let event_loop = virtual_loop();
    let (send, receive) = futures::channel::oneshot::channel();
    let task = event_loop.create_task(async move { receive.await.unwrap() });
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), None);
    send.send(5).unwrap();
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    settle(&event_loop);
    assert_eq!(task.result().unwrap(), 5);
}

/// A waker from an earlier step still wakes its task, and one of a task that is gone wakes nobody,
/// not even the task that took its place.
#[test]
fn stale_wakers_wake_nobody_else() {
    let event_loop = virtual_loop();
    let kept: Rc<RefCell<Vec<std::task::Waker>>> = Rc::default();
    let wakers = kept.clone();
    let first = event_loop.create_task(std::future::poll_fn(move |cx| {
        wakers.borrow_mut().push(cx.waker().clone());
        std::task::Poll::Ready(())
    }));
    turn(&event_loop);
    assert!(first.done());
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let second = event_loop.create_task(std::future::poll_fn(move |_| {
        count.set(count.get() + 1);
        std::task::Poll::<()>::Pending
    }));
    settle(&event_loop);
    assert_eq!(polls.get(), 1);
    for waker in kept.borrow().iter() {
        waker.wake_by_ref();
    }
    settle(&event_loop);
    assert_eq!(polls.get(), 1);
    assert!(!second.done());
}

/// Waking a task many times before it runs gives one step.
#[test]
fn many_wakes_give_one_step() {
    let event_loop = virtual_loop();
    let waker: Rc<RefCell<Option<std::task::Waker>>> = Rc::default();
    let polls = Rc::new(Cell::new(0));
    let (slot, count) = (waker.clone(), polls.clone());
    event_loop.create_task(std::future::poll_fn(move |cx| {
        count.set(count.get() + 1);
        slot.replace(Some(cx.waker().clone()));
        std::task::Poll::<()>::Pending
    }));
    settle(&event_loop);
    for _ in 0..5 {
        waker.borrow().as_ref().unwrap().wake_by_ref();
    }
    settle(&event_loop);
    assert_eq!(polls.get(), 2);
    // Inside a turn, too.
    let inside = waker.clone();
    event_loop.call_soon(move || {
        for _ in 0..5 {
            inside.borrow().as_ref().unwrap().wake_by_ref();
        }
    });
    settle(&event_loop);
    assert_eq!(polls.get(), 3);
}

/// A task that wakes itself during its step gets another step in the next turn.
#[test]
fn task_that_wakes_itself_is_stepped_again_in_the_next_turn() {
    let event_loop = virtual_loop();
    let mut left = 3;
    let task = event_loop.create_task(std::future::poll_fn(move |cx| {
        left -= 1;
        if left == 0 {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    }));
    for _ in 0..2 {
        assert_eq!(turn(&event_loop), 1);
        assert!(!task.done());
    }
    assert_eq!(turn(&event_loop), 1);
    assert!(task.done());
}

/// Many tasks with wakers of their own at once are not mixed up.
#[test]
fn wakers_of_many_tasks_are_told_apart() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let mut senders = Vec::new();
    for i in 0..5 {
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        senders.push(send);
        let log = log.clone();
        event_loop.create_task(async move {
            receive.await.unwrap();
            log.push(i);
            yield_now().await;
            log.push(format!("{i} again"));
        });
    }
    turn(&event_loop);
    event_loop.call_soon(move || {
        for send in senders.into_iter().rev() {
            send.send(()).unwrap();
        }
    });
    settle(&event_loop);
    log.expect(&[
        "4", "3", "2", "1", "0", "4 again", "3 again", "2 again", "1 again", "0 again",
    ]);
}

/// `yield_now` inside a combinator that wraps wakers costs a turn, too.
#[test]
fn yield_now_works_through_a_wrapping_waker() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let mut all: futures::stream::FuturesUnordered<_> = (0..3)
            .map(|i| async move {
                yield_now().await;
                sleep(Duration::ZERO).await;
                i
            })
            .collect();
        let mut sum = 0;
        while let Some(i) = all.next().await {
            sum += i;
        }
        sum
    });
    settle(&event_loop);
    assert_eq!(task.result().unwrap(), 3);
}

// ---- tasks that can fail

/// `create_try_task` gives the `Result` like any other output.
#[test]
fn try_task_gives_its_result() {
    let event_loop = virtual_loop();
    let fine = event_loop.create_try_task(async { Ok::<_, String>(1) });
    let failed = event_loop
        .task(async { Err::<u32, _>("no") })
        .name("t")
        .try_spawn();
    let both = event_loop.run_until_complete(async move { (fine.await, failed.await) });
    assert_eq!(both.unwrap(), (Ok(1), Err("no")));
}

/// The report of a try task's error says which task it was by where it was made.
#[test]
fn report_of_a_try_task_has_the_error_and_the_place() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let error = context.error::<std::num::ParseIntError>().unwrap();
        assert!(context.panic().is_none());
        events.push(format!("{error} {}", context.created_at().unwrap().line()));
    });
    let line = line!() + 1;
    drop(event_loop.create_try_task(async { "x".parse::<u32>() }));
    turn(&event_loop);
    assert_eq!(
        log.take(),
        [format!("invalid digit found in string {line}")]
    );
}

/// Many turns of spawning reuse the places of tasks that are over.
#[test]
fn tasks_that_spawn_their_successors_keep_going() {
    let event_loop = virtual_loop();
    let count = Rc::new(Cell::new(0));
    fn next(count: Rc<Cell<u32>>) -> std::pin::Pin<Box<dyn std::future::Future<Output = ()>>> {
        Box::pin(async move {
            count.set(count.get() + 1);
            if count.get() < 1000 {
                create_task(next(count));
            }
        })
    }
    event_loop.create_task(next(count.clone()));
    settle(&event_loop);
    assert_eq!(count.get(), 1000);
    assert!(event_loop.all_tasks().is_empty());
}

// ---- helpers

/// Counts turns, so that events can say in which they happened.
#[derive(Clone, Default)]
struct Turns(Rc<Cell<usize>>);

impl Turns {
    fn now(&self) -> usize {
        self.0.get()
    }

    fn run(&self, event_loop: &EventLoop, turns: usize) {
        for _ in 0..turns {
            turn(event_loop);
            self.0.set(self.0.get() + 1);
        }
    }
}

fn say(log: &Log, what: &'static str) -> impl std::future::Future<Output = ()> + use<> {
    let log = log.clone();
    async move { log.push(what) }
}

fn panic_of<T>(task: &Task<T>) -> PanicError {
    task.with_result(|result| match result {
        Err(ResultError::Panicked(panic)) => panic.clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it has a result"),
    })
}
