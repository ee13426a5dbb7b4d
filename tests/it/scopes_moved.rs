//! Scopes, timeouts and groups that are polled first in one task and then in another, or in none.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use callsoon::{
    EventLoop, TaskGroup, TimeoutError, catch_cancel, create_task, current_task, sleep, timeout,
    yield_now,
};
use futures::executor::block_on;
use futures::future::{pending, select};

use crate::support::{Drops, Log, ms, settle, turn, virtual_loop};

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// Polls `future` in a task for a turn, and then gives it away; that task goes on for `long`.
fn begin_in_a_task<T: 'static>(
    event_loop: &EventLoop,
    future: impl Future<Output = T> + 'static,
    long: u64,
) -> Boxed<T> {
    let begun: Rc<RefCell<Option<Boxed<T>>>> = Rc::default();
    let away = begun.clone();
    drop(event_loop.create_task(async move {
        let mut future: Boxed<T> = Box::pin(future);
        assert!(futures::poll!(&mut future).is_pending());
        away.replace(Some(future));
        sleep(ms(long)).await;
    }));
    turn(event_loop);
    begun.take().unwrap()
}

/// A cancel of the task that it moved to is caught, whether the first one still runs or not.
#[test]
fn moved_scope_catches_a_cancel_of_its_new_task() {
    for long in [1, 1_000] {
        let event_loop = virtual_loop();
        let scope = begin_in_a_task(&event_loop, catch_cancel(sleep(ms(500))), long);
        let task = event_loop.create_task(scope);
        let handle = task.handle();
        event_loop.call_at(ms(10), move || {
            handle.cancel();
        });
        assert!(event_loop.run_until_complete(task).unwrap().is_err());
        assert_eq!(event_loop.time(), ms(10));
    }
}

/// A cancel of the task that it came from is none of its business any more.
#[test]
fn moved_scope_does_not_catch_for_its_first_task() {
    let event_loop = virtual_loop();
    let slot: Rc<RefCell<Option<Boxed<bool>>>> = Rc::default();
    let away = slot.clone();
    let first = event_loop.create_task(async move {
        let scope = catch_cancel(sleep(ms(50)));
        let mut scope: Boxed<bool> = Box::pin(async move { scope.await.is_err() });
        assert!(futures::poll!(&mut scope).is_pending());
        away.replace(Some(scope));
        sleep(ms(90)).await;
    });
    turn(&event_loop);
    let second = event_loop.create_task(slot.take().unwrap());
    turn(&event_loop);
    first.cancel();
    assert!(!event_loop.run_until_complete(second).unwrap());
    assert!(first.cancelled());
    assert_eq!(event_loop.time(), ms(50));
}

/// A scope that has outlived its task is none of the next task's, whenever it goes.
#[test]
fn scope_that_outlives_its_task_is_not_the_next_tasks() {
    for goes_at in [0, 10, 30, 100] {
        let event_loop = virtual_loop();
        let old = begin_in_a_task(&event_loop, timeout(ms(900), sleep(ms(500))), 1);
        while event_loop.time() < ms(1) {
            event_loop.run_once(None).unwrap();
        }
        settle(&event_loop);
        let task = event_loop.create_task(async {
            let within = async {
                sleep(ms(5)).await;
                timeout(ms(400), sleep(ms(200))).await
            };
            let caught = catch_cancel(timeout(ms(300), within)).await.is_err();
            let after = catch_cancel(timeout(ms(10), sleep(ms(20)))).await.unwrap();
            (caught, after, current_task().unwrap().cancelling())
        });
        let asked = task.handle();
        event_loop.call_later(ms(20), move || {
            asked.cancel();
        });
        event_loop.call_later(ms(goes_at), move || drop(old));
        let end = event_loop.run_until_complete(task).unwrap();
        assert_eq!(end, (true, Err(TimeoutError), 1));
    }
}

/// A cancel that was raised at a scope that its task then gave away is not lost: the task meets it at
/// its next await.
#[test]
fn cancel_raised_at_a_scope_that_moves_away_stays_with_the_task() {
    let event_loop = virtual_loop();
    let (slot, log): (Rc<RefCell<Option<Boxed<_>>>>, _) = (Rc::default(), Log::new());
    let (away, events) = (slot.clone(), log.clone());
    let first = event_loop.create_task(async move {
        let mut scope: Boxed<_> = Box::pin(catch_cancel(pending::<()>()));
        // Nothing here is ours, so the cancel is raised; this polls the yield only.
        let mut rounds = 0;
        std::future::poll_fn(|cx| {
            rounds += 1;
            if rounds == 1 {
                return scope.as_mut().poll(cx).map(|_| ());
            }
            std::task::Poll::Ready(())
        })
        .await;
        away.replace(Some(scope));
        events.push("given away");
        sleep(ms(50)).await;
        events.push("not reached");
    });
    turn(&event_loop);
    first.cancel();
    turn(&event_loop);
    let second = event_loop.create_task(slot.take().unwrap());
    settle(&event_loop);
    assert!(first.cancelled() && !second.done());
    log.expect(&["given away"]);
    second.cancel();
    assert!(event_loop.run_until_complete(second).unwrap().is_err());
}

/// A timeout expires in the task that it moved to, and counts there only.
#[test]
fn moved_timeout_expires_in_its_new_task() {
    for long in [1, 1_000] {
        let event_loop = virtual_loop();
        let timed = begin_in_a_task(&event_loop, timeout(ms(10), sleep(ms(90))), long);
        let task = event_loop.create_task(async {
            let result = timed.await;
            (result, current_task().unwrap().cancelling())
        });
        let result = event_loop.run_until_complete(task);
        assert_eq!(result.unwrap(), (Err(TimeoutError), 0));
        assert_eq!(event_loop.time(), ms(10));
    }
}

/// A timeout whose alarm goes off between two tasks expires at its first poll in the second one; a
/// cancel of that task from outside is not mistaken for it.
#[test]
fn timeout_that_expires_between_two_tasks_expires_in_the_second() {
    for long in [1, 1_000] {
        let event_loop = virtual_loop();
        let timed = begin_in_a_task(&event_loop, timeout(ms(10), sleep(ms(900))), long);
        event_loop.call_at(ms(20), || ());
        while event_loop.time() < ms(20) {
            event_loop.run_once(None).unwrap();
        }
        let task = event_loop.create_task(async {
            assert!(catch_cancel(pending::<()>()).await.is_err());
            let result = timed.await;
            (result, current_task().unwrap().cancelling())
        });
        turn(&event_loop);
        task.cancel();
        let result = event_loop.run_until_complete(task);
        assert_eq!(result.unwrap(), (Err(TimeoutError), 1));
        assert_eq!(event_loop.time(), ms(20));
    }
}

/// A group goes on in another task: a child that fails reaches the body there.
#[test]
fn moved_group_hears_of_a_failure_in_its_new_task() {
    for long in [1, 1_000] {
        let event_loop = virtual_loop();
        let group = TaskGroup::run(async |group| {
            group.create_try_task(async {
                sleep(ms(10)).await;
                Err::<(), _>("no")
            });
            pending::<()>().await;
            Ok(())
        });
        let group = begin_in_a_task(&event_loop, group, long);
        let task = event_loop.create_task(async {
            let result = group.await;
            yield_now().await;
            (
                result.unwrap_err().into_errors(),
                current_task().unwrap().cancelling(),
            )
        });
        let result = event_loop.run_until_complete(task);
        assert_eq!(result.unwrap(), (vec!["no"], 0));
        assert_eq!(event_loop.time(), ms(10));
    }
}

/// A child fails while nobody polls the group: the body is cancelled when it goes on.
#[test]
fn group_whose_child_failed_between_two_tasks_ends_in_the_second() {
    for long in [1, 1_000] {
        let event_loop = virtual_loop();
        let group = TaskGroup::run(async |group| {
            group.create_try_task(async { Err::<(), _>("no") });
            pending::<()>().await;
            Ok(())
        });
        let group = begin_in_a_task(&event_loop, group, long);
        settle(&event_loop);
        let task = event_loop.create_task(async {
            assert!(catch_cancel(pending::<()>()).await.is_err());
            let result = group.await;
            (
                result.unwrap_err().into_errors(),
                current_task().unwrap().cancelling(),
            )
        });
        turn(&event_loop);
        task.cancel();
        settle(&event_loop);
        // The group makes the outside cancel be met again at the next await; here there is none.
        assert!(task.cancelled() && task.cancelling() == 1);
    }
}

/// A select gives up waiting for a group, and has it go on in the background.
#[test]
fn group_that_a_select_gave_up_on_goes_on_in_the_background() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    event_loop
        .run_until_complete(async move {
            let mut group = Box::pin(callsoon::task_group(async move |group| {
                group.create_task(async move {
                    let _guard = guard;
                    sleep(ms(50)).await;
                });
            }));
            drop(select(&mut group, Box::pin(sleep(ms(10)))).await);
            create_task(group).await;
        })
        .unwrap();
    assert_eq!((drops.count(), event_loop.time()), (1, ms(50)));
}

/// A timeout that has begun needs a task to go on in.
#[test]
fn timeout_that_goes_on_outside_a_task_panics() {
    let event_loop = virtual_loop();
    let timed = begin_in_a_task(&event_loop, timeout(ms(10), sleep(ms(90))), 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| block_on(timed)));
    let message = *panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("outside a task of a running loop"),
        "{message}"
    );
}

/// So does a group; its children are cancelled.
#[test]
fn group_that_goes_on_outside_a_task_panics() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let group = callsoon::task_group(async move |group| {
        group.create_task(async move {
            let _guard = guard;
            pending::<()>().await;
        });
    });
    let group = begin_in_a_task(&event_loop, group, 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| block_on(group)));
    let message = *panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("outside a task of a running loop"),
        "{message}"
    );
    settle(&event_loop);
    assert_eq!(drops.count(), 1);
}

/// A scope outside all tasks catches nothing, and passes on what it runs.
#[test]
fn scope_outside_a_task_is_transparent() {
    assert_eq!(block_on(catch_cancel(async { 5 })).unwrap(), 5);
    let event_loop = virtual_loop();
    let (sender, receiver) = futures::channel::oneshot::channel();
    let scope = begin_in_a_task(&event_loop, catch_cancel(receiver), 1);
    sender.send(7).unwrap();
    assert_eq!(block_on(scope).unwrap(), Ok(7));
}
