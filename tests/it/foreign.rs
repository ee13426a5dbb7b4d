//! Futures of other crates in our scopes and combinators: `async-channel`, `event-listener`, `futures`.
//!
//! They know nothing of cancellation: they are dropped at the innermost scope, and what they were about
//! to get is still there for the next one.

use std::rc::Rc;

use callsoon::{
    ExceptionGroup, ReturnWhen, TaskGroup, as_completed, catch_cancel, create_task, gather, shield,
    sleep, timeout, try_gather, wait, wait_for, yield_now,
};
use event_listener::{Event, Listener};
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::{Log, ms, virtual_loop};

/// C2, C3: a cancelled receive is dropped, and takes no message with it.
#[test]
fn cancelled_receive_of_a_channel_loses_no_message() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (sender, receiver) = async_channel::bounded::<u32>(1);
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let caught = catch_cancel(receiver.recv()).await;
        events.push(format_args!("caught {}", caught.is_err()));
        receiver.recv().await.unwrap()
    });
    let asked = task.handle();
    event_loop.call_later(ms(5), move || {
        // The message is there when the cancellation is raised.
        sender.try_send(7).unwrap();
        asked.cancel();
    });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 7);
    log.expect(&["caught true"]);
}

/// A request that arrives with the message is raised, and the message stays in the channel.
#[test]
fn raise_beats_a_message_that_waits() {
    let event_loop = virtual_loop();
    let (sender, receiver) = async_channel::unbounded::<u32>();
    let left = event_loop.run_until_complete(async move {
        let inside = receiver.clone();
        let child = create_task(async move { catch_cancel(inside.recv()).await.is_err() });
        yield_now().await;
        child.cancel();
        sender.try_send(1).unwrap();
        (child.await, receiver.try_recv().unwrap())
    });
    assert_eq!(left.unwrap(), (true, 1));
}

#[test]
fn timeout_around_a_listener_that_nobody_notifies() {
    let event_loop = virtual_loop();
    let event = Rc::new(Event::new());
    let listened = event.clone();
    let result = event_loop.run_until_complete(async move {
        let late = timeout(ms(10), listened.listen()).await;
        // The dropped listener is off the list: the notification is not lost on it.
        let next = listened.listen();
        assert_eq!(listened.notify(1), 1);
        timeout(ms(10), next).await.unwrap();
        late
    });
    assert!(result.unwrap().is_err());
    assert_eq!(event_loop.time(), ms(10));
    assert!(
        event
            .listen()
            .wait_deadline(std::time::Instant::now())
            .is_none()
    );
}

#[test]
fn combinators_take_coroutines_that_wait_for_foreign_things() {
    let event_loop = virtual_loop();
    let sum = event_loop.run_until_complete(async {
        let (one, two) = (oneshot::channel::<Rc<u32>>(), async_channel::bounded(1));
        let event = Rc::new(Event::new());
        let heard = event.clone();
        let values = gather((
            async move { one.1.await.unwrap() },
            async move { two.1.recv().await.unwrap() },
            async move { heard.listen().await },
        ));
        sleep(ms(1)).await;
        one.0.send(Rc::new(1)).unwrap();
        two.0.send(2).await.unwrap();
        event.notify(1);
        let (one, two, ()) = values.await;
        *one + two
    });
    assert_eq!(sum.unwrap(), 3);
}

#[test]
fn first_error_of_foreign_senders_wins() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let (gone, waits) = oneshot::channel::<u32>();
        let (_kept, forever) = oneshot::channel::<u32>();
        drop(gone);
        try_gather([waits, forever]).await
    });
    assert!(result.unwrap().is_err());
}

#[test]
fn wait_and_as_completed_over_tasks_that_receive() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let (sender, receiver) = async_channel::unbounded::<u32>();
            let receive = |_| {
                let receiver = receiver.clone();
                create_task(async move { receiver.recv().await.unwrap() })
            };
            let tasks = [0; 3].map(receive);
            sleep(ms(1)).await;
            sender.try_send(1).unwrap();
            let (done, pending) = wait(&tasks, ReturnWhen::FirstCompleted, None).await;
            assert_eq!((done.len(), pending.len()), (1, 2));
            sender.try_send(2).unwrap();
            sender.try_send(3).unwrap();
            let results: Vec<u32> = as_completed(tasks)
                .map(|task| task.result().unwrap())
                .collect()
                .await;
            assert_eq!(results.iter().sum::<u32>(), 6);
        })
        .unwrap();
}

/// W9, W13: what times out is dropped; under a shield it goes on.
#[test]
fn wait_for_drops_a_receive_and_a_shield_keeps_it() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let (sender, receiver) = async_channel::bounded::<u32>(1);
            let receive = || {
                let receiver = receiver.clone();
                async move { receiver.recv().await.unwrap() }
            };
            assert!(wait_for(receive(), ms(5)).await.is_err());
            assert_eq!(receiver.receiver_count(), 1, "the coroutine is gone");
            let kept = create_task(receive());
            assert!(wait_for(shield(&kept), ms(5)).await.is_err());
            sender.try_send(9).unwrap();
            assert_eq!(kept.await, 9);
        })
        .unwrap();
}

/// P3, P11: the children of a group that fails are asked at their foreign awaits, and clean up.
#[test]
fn group_cancels_children_that_wait_for_foreign_things() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result = event_loop.run_until_complete(async move {
        let (_sender, mut messages) = mpsc::unbounded::<u32>();
        TaskGroup::run(async |group| {
            let events = events.clone();
            group.create_task(async move {
                let caught = catch_cancel(messages.next()).await;
                sleep(ms(3)).await;
                events.push(format_args!("cleaned up {}", caught.is_err()));
            });
            group.create_try_task(async {
                sleep(ms(1)).await;
                Err::<(), _>("broken")
            });
            futures::future::pending().await
        })
        .await
    });
    let result: Result<(), ExceptionGroup<_>> = result.unwrap();
    let group = result.unwrap_err();
    assert_eq!(group.errors(), ["broken"]);
    log.expect(&["cleaned up true"]);
    assert_eq!(event_loop.time(), ms(4));
}

/// A scope polled through a wrapping waker is woken when it is raised at.
#[test]
fn scopes_around_foreign_receives_in_a_futures_unordered() {
    let event_loop = virtual_loop();
    let (sender, receiver) = async_channel::unbounded::<u32>();
    let task = event_loop.create_task(async move {
        let mut all: FuturesUnordered<_> = (0..3).map(|_| catch_cancel(receiver.recv())).collect();
        let mut ends = Vec::new();
        while let Some(end) = all.next().await {
            ends.push(end.ok().map(Result::unwrap));
        }
        ends
    });
    let asked = task.handle();
    let first = sender.clone();
    event_loop.call_later(ms(1), move || first.try_send(1).unwrap());
    event_loop.call_later(ms(2), move || {
        asked.cancel();
    });
    let ends = event_loop.run_until_complete(task).unwrap();
    assert_eq!(ends, [Some(1), None, None]);
    drop(sender);
}

/// A `select` that drops the branch which was about to be cancelled.
#[test]
fn select_that_drops_a_foreign_branch_leaves_the_cancellation_to_the_other() {
    let event_loop = virtual_loop();
    let (sender, receiver) = oneshot::channel::<()>();
    let task = event_loop.create_task(async move {
        let branch = Box::pin(async {
            let caught = catch_cancel(std::future::pending::<()>()).await;
            caught.is_err()
        });
        match select(receiver, branch).await {
            Either::Left(_) => catch_cancel(sleep(ms(50))).await.is_err(),
            Either::Right((caught, _)) => caught,
        }
    });
    let asked = task.handle();
    event_loop.call_later(ms(1), move || {
        // Woken first; the request comes in the same turn.
        sender.send(()).unwrap();
        asked.cancel();
    });
    assert!(event_loop.run_until_complete(task).unwrap());
    assert_eq!(event_loop.time(), ms(1));
}
