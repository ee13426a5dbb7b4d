//! `Queue`, `PriorityQueue`, `LifoQueue`: who gets which item, and that no item and no place is lost.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use callsoon::{
    GetNowaitError, LifoQueue, LoopHandle, PriorityQueue, PutNowaitError, Queue, QueueShutDown,
    Task, create_task, queues::Container, yield_now,
};
use futures::stream::{FusedStream, StreamExt};

use crate::support::{
    Drops, Log, OnDrop, Scene, ms, panic_message, settle, stop_at_every_point, turn, virtual_loop,
};

/// Starts a task that gets one item and logs it.
fn getter(event_loop: &LoopHandle, queue: &Queue<u32>, log: &Log, name: &'static str) -> Task<()> {
    let (getting, log) = (queue.get(), log.clone());
    event_loop.create_task(async move {
        match getting.await {
            Ok(item) => log.push(format_args!("{name} got {item}")),
            Err(QueueShutDown(())) => log.push(format_args!("{name} shut down")),
        }
    })
}

/// Starts a task that puts one item and logs that.
fn putter(event_loop: &LoopHandle, queue: &Queue<u32>, log: &Log, item: u32) -> Task<()> {
    let (putting, log) = (queue.put(item), log.clone());
    event_loop.create_task(async move {
        match putting.await {
            Ok(()) => log.push(format_args!("put {item}")),
            Err(QueueShutDown(item)) => log.push(format_args!("{item} came back")),
        }
    })
}

/// Takes out what is left.
fn rest<T, C: Container<Item = T>>(queue: &Queue<T, C>) -> Vec<T> {
    std::iter::from_fn(|| queue.get_nowait().ok()).collect()
}

/// Whether nobody waits.
fn is_idle(queue: &Queue<u32>) -> bool {
    let text = format!("{queue:?}");
    !text.contains("_getters") && !text.contains("_putters")
}

/// Q1, 2.0: neither suspends where there is room, or an item.
#[test]
fn put_and_get_take_no_turn() {
    let event_loop = virtual_loop();
    let queue = Queue::new(1);
    event_loop.create_task(async move {
        for number in 0..10 {
            queue.put(number).await.unwrap();
            assert_eq!(queue.get().await, Ok(number));
        }
    });
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(turn(&event_loop), 0);
}

/// Q2, 2.0: an item wakes one getter, which has it one turn later.
#[test]
fn an_item_wakes_one_getter() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(0);
    getter(&event_loop, &queue, &log, "a");
    getter(&event_loop, &queue, &log, "b");
    turn(&event_loop);
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.qsize(), 1);
    assert_eq!(turn(&event_loop), 1);
    log.expect(&["a got 1"]);
    queue.put_nowait(2).unwrap();
    settle(&event_loop);
    log.expect(&["b got 2"]);
}

/// Q3, Q4: what a getter was woken for can be taken from it; then it waits again, behind the others.
#[test]
fn robbed_getter_waits_again_at_the_back() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(0);
    getter(&event_loop, &queue, &log, "a");
    getter(&event_loop, &queue, &log, "b");
    turn(&event_loop);
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.get_nowait(), Ok(1));
    settle(&event_loop);
    log.expect(&[]);
    queue.put_nowait(2).unwrap();
    queue.put_nowait(3).unwrap();
    settle(&event_loop);
    log.expect(&["b got 2", "a got 3"]);
}

/// Q4: the same of a place that a putter was woken for.
#[test]
fn robbed_putter_waits_again_at_the_back() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(1);
    queue.put_nowait(0).unwrap();
    putter(&event_loop, &queue, &log, 1);
    putter(&event_loop, &queue, &log, 2);
    turn(&event_loop);
    assert_eq!(queue.get_nowait(), Ok(0));
    queue.put_nowait(9).unwrap();
    settle(&event_loop);
    log.expect(&[]);
    for _ in 0..3 {
        queue.get_nowait().unwrap();
        settle(&event_loop);
    }
    log.expect(&["put 2", "put 1"]);
}

/// Q5: a getter that was woken and is cancelled before it runs wakes the next one.
#[test]
fn woken_and_cancelled_getter_wakes_the_next() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(0);
    let first = getter(&event_loop, &queue, &log, "first");
    getter(&event_loop, &queue, &log, "second");
    turn(&event_loop);
    queue.put_nowait(1).unwrap();
    first.cancel();
    settle(&event_loop);
    assert!(first.cancelled());
    log.expect(&["second got 1"]);
}

/// Q5: a putter that was woken and is cancelled before it runs wakes the next one; its item is dropped.
#[test]
fn woken_and_cancelled_putter_wakes_the_next() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(1);
    queue.put_nowait(0).unwrap();
    let first = putter(&event_loop, &queue, &log, 1);
    putter(&event_loop, &queue, &log, 2);
    turn(&event_loop);
    assert_eq!(queue.get_nowait(), Ok(0));
    first.cancel();
    settle(&event_loop);
    log.expect(&["put 2"]);
    assert_eq!(rest(&queue), [2]);
}

/// Q6: nothing to get, and no room; the item comes back.
#[test]
fn nowait_says_empty_and_full() {
    let queue = Queue::new(1);
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueEmpty));
    queue.put_nowait("a").unwrap();
    assert!(queue.full());
    assert_eq!(queue.put_nowait("b"), Err(PutNowaitError::QueueFull("b")));
    assert_eq!(queue.put_nowait("c").unwrap_err().into_item(), "c");
    assert_eq!(rest(&queue), ["a"]);
}

/// Q6: without a limit it is never full.
#[test]
fn queue_without_a_limit_is_never_full() {
    let queue = Queue::new(0);
    for number in 0..1000 {
        assert!(!queue.full());
        queue.put_nowait(number).unwrap();
    }
    assert_eq!(
        (queue.qsize(), queue.maxsize(), queue.empty()),
        (1000, 0, false)
    );
}

/// Q7: `join` ends when as much was reported done as was put.
#[test]
fn join_waits_for_every_report() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(0);
    let join = |name: &'static str| {
        let (joining, log) = (queue.join(), log.clone());
        event_loop.create_task(async move {
            joining.await;
            log.push(name);
        })
    };
    join("empty");
    turn(&event_loop);
    log.expect(&["empty"]);
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    join("a");
    join("b");
    assert_eq!(rest(&queue), [1, 2]);
    queue.task_done().unwrap();
    settle(&event_loop);
    log.expect(&[]);
    queue.task_done().unwrap();
    turn(&event_loop);
    log.expect(&["a", "b"]);
}

/// Q7: one report too many is an error that names the queue.
#[test]
fn surplus_report_is_an_error() {
    let line = line!() + 1;
    let queue = Queue::new(0);
    queue.put_nowait(1).unwrap();
    queue.task_done().unwrap();
    let error = queue.task_done().unwrap_err().to_string();
    let end = format!("the queue created at {}:{line}:", file!());
    assert!(
        error.starts_with("task_done() called too often on ") && error.contains(&end),
        "{error}"
    );
}

/// Q8: after a shutdown nothing is taken in, what is there is given out, and then no more.
#[test]
fn shut_down_queue_drains() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(0);
    queue.put_nowait(1).unwrap();
    queue.shutdown(false);
    queue.shutdown(false);
    assert_eq!(queue.put_nowait(2), Err(PutNowaitError::QueueShutDown(2)));
    putter(&event_loop, &queue, &log, 3);
    getter(&event_loop, &queue, &log, "first");
    getter(&event_loop, &queue, &log, "second");
    turn(&event_loop);
    log.expect(&["3 came back", "first got 1", "second shut down"]);
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueShutDown));
}

/// Q8: those who wait are woken and told.
#[test]
fn shutdown_wakes_who_waits() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (empty, full) = (Queue::new(0), Queue::new(1));
    full.put_nowait(0).unwrap();
    getter(&event_loop, &empty, &log, "a");
    getter(&event_loop, &empty, &log, "b");
    putter(&event_loop, &full, &log, 1);
    turn(&event_loop);
    empty.shutdown(false);
    full.shutdown(false);
    assert_eq!(turn(&event_loop), 3);
    log.expect(&["a shut down", "b shut down", "1 came back"]);
    assert!(is_idle(&empty) && is_idle(&full));
}

/// Q9: an immediate shutdown drops the items and counts them done.
#[test]
fn immediate_shutdown_drops_items_and_releases_join() {
    let event_loop = virtual_loop();
    let (queue, drops) = (Queue::new(0), Drops::new());
    for _ in 0..3 {
        queue.put_nowait(drops.guard()).unwrap();
    }
    let joined = event_loop.create_task(queue.join());
    turn(&event_loop);
    drop(queue.get_nowait().unwrap());
    queue.shutdown(true);
    assert_eq!((drops.count(), queue.qsize()), (3, 0));
    settle(&event_loop);
    assert!(!joined.done(), "the one that was taken out is not done");
    queue.task_done().unwrap();
    event_loop.run_until_complete(joined).unwrap();
    assert!(queue.task_done().is_err());
    queue.shutdown(true);
}

/// Q10: the smallest first, whatever the order of putting; fairness is the same.
#[test]
fn priority_queue_gives_the_smallest() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = PriorityQueue::new(3);
    for name in ["a", "b"] {
        let (getting, log) = (queue.get(), log.clone());
        event_loop.create_task(async move {
            log.push(format_args!("{name} {:?}", getting.await.unwrap()));
        });
    }
    turn(&event_loop);
    for item in [(2, 'x'), (3, 'y'), (1, 'z')] {
        queue.put_nowait(item).unwrap();
    }
    assert!(queue.full());
    settle(&event_loop);
    log.expect(&["a (1, 'z')", "b (2, 'x')"]);
    assert_eq!(rest(&queue), [(3, 'y')]);
}

/// Q10: the newest first.
#[test]
fn lifo_queue_gives_the_newest() {
    let queue = LifoQueue::new(0);
    for item in 1..=3 {
        queue.put_nowait(item).unwrap();
    }
    assert_eq!(rest(&queue), [3, 2, 1]);
}

/// K18: a queue belongs to the loop in which somebody first had to wait for it.
#[test]
fn waiting_in_a_second_loop_panics() {
    let (log, queue) = (Log::new(), Queue::new(0));
    let (one, two) = (virtual_loop(), virtual_loop());
    let waiting = getter(&one, &queue, &log, "a");
    turn(&one);
    let refused = getter(&two, &queue, &log, "refused");
    let panic = panic_message(|| two.run_until_complete(refused).unwrap());
    assert!(panic.starts_with("queue created at "), "{panic}");
    queue.put_nowait(1).unwrap();
    one.run_until_complete(waiting).unwrap();
    log.expect(&["a got 1"]);
}

/// A queue is a stream that ends when it is shut down and drained.
#[test]
fn queue_is_a_stream() {
    let event_loop = virtual_loop();
    let queue = Queue::new(2);
    let source = queue.clone();
    event_loop.create_task(async move {
        for number in 0..10 {
            source.put(number).await.unwrap();
        }
        source.shutdown(false);
    });
    let mut stream = queue.clone();
    let numbers = event_loop
        .run_until_complete(async move {
            let numbers: Vec<u32> = stream.by_ref().collect().await;
            assert!(stream.is_terminated());
            numbers
        })
        .unwrap();
    assert!(numbers.into_iter().eq(0..10));
    assert!(is_idle(&queue));
}

/// A handle that was polled as a stream, woken, and not polled again keeps nobody else waiting.
#[test]
fn stream_that_is_not_polled_again_keeps_nobody_waiting() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let queue = Queue::new(0);
    let mut stream = queue.clone();
    let busy = event_loop.create_task(async move {
        let next = callsoon::timeout(ms(1), stream.next()).await;
        assert!(next.is_err());
        callsoon::sleep(ms(1000)).await;
        stream.next().await
    });
    let (late, waiting, events) = (event_loop.handle(), queue.clone(), log.clone());
    event_loop.call_later(ms(10), move || {
        drop(getter(&late, &waiting, &events, "other"));
    });
    let source = queue.clone();
    event_loop.call_later(ms(20), move || source.put_nowait(1).unwrap());
    let (source, events) = (queue.clone(), log.clone());
    event_loop.call_later(ms(30), move || {
        events.push(format_args!("{} left", source.qsize()));
        source.put_nowait(2).unwrap();
    });
    assert_eq!(event_loop.run_until_complete(busy).unwrap(), Some(2));
    log.expect(&["other got 1", "0 left"]);
}

/// K18: a handle that waits as a stream and outlives its loop is told of in a clear panic, as asyncio's
/// `RuntimeError` tells; the item is in the queue.
#[test]
fn waking_a_stream_of_a_closed_loop_panics() {
    let queue = Queue::new(0);
    let mut stream = queue.clone();
    let event_loop = virtual_loop();
    let waiting = event_loop.run_until_complete(async move {
        assert!(futures::poll!(stream.next()).is_pending());
        Some(stream)
    });
    drop(event_loop);
    let panic = panic_message(|| _ = queue.put_nowait(1));
    assert!(
        panic.starts_with("event loop created at ") && panic.ends_with(" is closed"),
        "{panic}"
    );
    drop(waiting);
    assert!(is_idle(&queue));
    assert_eq!(rest(&queue), [1]);
}

/// An item whose comparison or drop uses the queue: the first panics, clearly, the second works.
#[test]
fn items_that_use_their_queue() {
    #[derive(Clone)]
    struct Meddler(PriorityQueue<Meddler>);
    impl PartialEq for Meddler {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }
    impl Eq for Meddler {}
    impl PartialOrd for Meddler {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Meddler {
        fn cmp(&self, _: &Self) -> Ordering {
            drop(self.0.get_nowait());
            Ordering::Equal
        }
    }
    let queue = PriorityQueue::new(0);
    queue.put_nowait(Meddler(queue.clone())).unwrap();
    let panic = panic_message(|| drop(queue.put_nowait(Meddler(queue.clone()))));
    assert!(panic.starts_with("priority queue created at "), "{panic}");
    assert!(panic.ends_with("is used by its own container, or by a comparison of its items"));
    assert_eq!(queue.qsize(), 2, "nothing is lost");
    queue.shutdown(true);

    type Slot = Rc<RefCell<Option<Queue<OnDrop<Box<dyn FnOnce()>>>>>>;
    let slot = Slot::default();
    let queue = Queue::new(0);
    slot.replace(Some(queue.clone()));
    let (used, drops) = (slot.clone(), Drops::new());
    let guard = drops.guard();
    queue
        .put_nowait(OnDrop::new(Box::new(move || {
            let queue = used.take().unwrap();
            assert!(queue.empty() && queue.get_nowait().is_err());
            drop(guard);
        }) as Box<dyn FnOnce()>))
        .unwrap();
    queue.shutdown(true);
    assert_eq!(drops.count(), 1);
}

/// Three who get, of which the middle one is stopped, and two items.
#[test]
fn get_stopped_at_every_point_loses_no_item() {
    let points = stop_at_every_point(|event_loop| {
        let (queue, log) = (Queue::new(0), Log::new());
        getter(event_loop, &queue, &log, "first");
        let behind = (event_loop.handle(), queue.clone(), log.clone());
        event_loop.call_soon(move || drop(getter(&behind.0, &behind.1, &behind.2, "last")));
        let source = queue.clone();
        event_loop.create_task(async move {
            yield_now().await;
            yield_now().await;
            source.put(1).await.unwrap();
            source.put(2).await.unwrap();
        });
        let getting = queue.get();
        let victim = async move {
            getting.await.unwrap();
        };
        Scene::new(victim, move |_| {
            log.expect(&["first got 1", "last got 2"]);
            assert!(queue.empty() && is_idle(&queue));
        })
    });
    assert_eq!(points, 3, "waiting twice, and woken");
}

/// The same of the stream, which is dropped with its handle.
#[test]
fn stream_stopped_at_every_point_loses_no_item() {
    stop_at_every_point(|event_loop| {
        let (queue, log) = (Queue::new(0), Log::new());
        let behind = (event_loop.handle(), queue.clone(), log.clone());
        event_loop.call_soon(move || drop(getter(&behind.0, &behind.1, &behind.2, "last")));
        let source = queue.clone();
        event_loop.create_task(async move {
            yield_now().await;
            yield_now().await;
            source.put(1).await.unwrap();
        });
        let mut stream = queue.clone();
        let victim = async move {
            stream.next().await.unwrap();
        };
        Scene::new(victim, move |_| {
            log.expect(&["last got 1"]);
            assert!(queue.empty() && is_idle(&queue));
        })
    });
}

/// Three who put into a full queue, of which the middle one is stopped: its item is dropped, and its place the
/// next one's.
#[test]
fn put_stopped_at_every_point_loses_no_place() {
    let points = stop_at_every_point(|event_loop| {
        let (queue, log) = (Queue::new(1), Log::new());
        queue.put_nowait(0).unwrap();
        putter(event_loop, &queue, &log, 1);
        let behind = (event_loop.handle(), queue.clone(), log.clone());
        event_loop.call_soon(move || drop(putter(&behind.0, &behind.1, &behind.2, 3)));
        let sink = queue.clone();
        let got = Rc::new(RefCell::new(Vec::new()));
        let taken = got.clone();
        event_loop.create_task(async move {
            yield_now().await;
            yield_now().await;
            for _ in 0..3 {
                let item = sink.get().await.unwrap();
                taken.borrow_mut().push(item);
            }
        });
        let putting = queue.put(2);
        let victim = async move {
            putting.await.unwrap();
        };
        Scene::new(victim, move |_| {
            log.expect(&["put 1", "put 3"]);
            assert_eq!(*got.borrow(), [0, 1, 3]);
            assert!(queue.empty() && is_idle(&queue));
        })
    });
    assert!(points >= 3, "{points}");
}

/// `join`, stopped, leaves the others to wait, and the count as it was.
#[test]
fn join_stopped_at_every_point_changes_nothing_for_others() {
    let points = stop_at_every_point(|event_loop| {
        let (queue, log) = (Queue::new(0), Log::new());
        queue.put_nowait(1).unwrap();
        let (joining, events) = (queue.join(), log.clone());
        event_loop.create_task(async move {
            joining.await;
            events.push("joined");
        });
        let worker = queue.clone();
        event_loop.create_task(async move {
            yield_now().await;
            worker.get().await.unwrap();
            worker.task_done().unwrap();
        });
        Scene::new(queue.join(), move |_| {
            log.expect(&["joined"]);
            assert!(queue.task_done().is_err());
        })
    });
    assert_eq!(points, 2, "waiting, and woken");
}

/// Producers and consumers through a narrow queue: every item once, each producer's in order.
#[test]
fn every_item_arrives_once_and_in_order() {
    let event_loop = virtual_loop();
    let queue = Queue::new(3);
    let arrived = Rc::new(RefCell::new(Vec::new()));
    let consumed = arrived.clone();
    event_loop
        .run_until_complete(async move {
            let producers = (0..4).map(|producer| {
                let queue = queue.clone();
                create_task(async move {
                    for number in 0..50 {
                        queue.put((producer, number)).await.unwrap();
                    }
                })
            });
            let producers: Vec<_> = producers.collect();
            for _ in 0..3 {
                let (queue, consumed) = (queue.clone(), consumed.clone());
                create_task(async move {
                    while let Ok(item) = queue.get().await {
                        consumed.borrow_mut().push(item);
                        yield_now().await;
                        queue.task_done().unwrap();
                    }
                });
            }
            for producer in producers {
                producer.await;
            }
            queue.join().await;
        })
        .unwrap();
    let arrived = arrived.borrow();
    assert_eq!(arrived.len(), 200);
    for producer in 0..4 {
        let of_one = arrived.iter().filter(|(from, _)| *from == producer);
        assert!(of_one.map(|(_, number)| *number).eq(0..50));
    }
}
