//! Names that threads have of what stays on a loop: calling, submitting, dropping, closing.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use callsoon::testing::Order;
use callsoon::{
    Clock, Event, EventLoop, LoopBound, LoopBoundError, LoopClosedError, Queue, RunEnd, concurrent,
    sleep, yield_now,
};

use crate::support::{Log, OnDrop, ms, settle, turn, virtual_loop};

/// Does something on another thread.
#[track_caller]
fn elsewhere<R: Send + 'static>(action: impl FnOnce() -> R + Send + 'static) -> R {
    thread::spawn(action).join().unwrap()
}

/// Counts those of its values that are alive, and notes on which threads they end.
#[derive(Clone, Default)]
struct Lives {
    alive: Arc<AtomicUsize>,
    ends: Arc<Mutex<Vec<ThreadId>>>,
}

impl Lives {
    fn value(&self) -> Life {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Life {
            lives: self.clone(),
            uses: Rc::default(),
        }
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    /// All are over, and ended on this thread.
    #[track_caller]
    fn expect_ended_here(&self, count: usize) {
        assert_eq!(self.alive(), 0);
        let here = thread::current().id();
        assert_eq!(*self.ends.lock().unwrap(), vec![here; count]);
    }
}

/// A value that is neither `Send` nor `Sync`.
struct Life {
    lives: Lives,
    uses: Rc<Cell<usize>>,
}

impl Life {
    fn touch(&self) {
        self.uses.set(self.uses.get() + 1);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.lives.alive.fetch_sub(1, Ordering::SeqCst);
        self.lives.ends.lock().unwrap().push(thread::current().id());
    }
}

/// A virtual loop whose reports are logged, with the line of the place that they name.
fn reporting_loop() -> (EventLoop, Log) {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let panic = context.panic().expect("nothing else is reported here");
        let (what, line) = (panic.message(), panic.created_at().line());
        events.push(format!("{}: {what} ({line})", context.message()));
    });
    (event_loop, log)
}

// ---- calling

/// L14: asyncio's idiom, `call_soon_threadsafe(queue.put_nowait, item)`, `(future.set_result, x)` and
/// `(event.set)`.
#[test]
fn a_thread_puts_into_a_queue_completes_a_future_and_sets_an_event() {
    let event_loop = EventLoop::new();
    let (queue, answer, ready) = (Queue::new(0), event_loop.create_future(), Event::new());
    let inbox = event_loop.bind(queue.clone());
    let promise = event_loop.bind(answer.clone());
    let light = event_loop.bind(ready.clone());
    let thread = thread::spawn(move || {
        let item = String::from("item");
        inbox
            .call_soon_threadsafe(move |queue| queue.put_nowait(item).unwrap())
            .unwrap();
        promise
            .call_soon_threadsafe(|future| future.set_result(42).unwrap())
            .unwrap();
        light.call_soon_threadsafe(Event::set).unwrap();
    });
    let all = event_loop.run_until_complete(async move {
        ready.wait().await;
        (queue.get().await.unwrap(), answer.await)
    });
    assert_eq!(all.unwrap(), ("item".to_owned(), 42));
    thread.join().unwrap();
}

/// L3, L14: what a thread posts through names, their clones and a `RemoteHandle` is one queue, and the
/// loop's own thread joins it at its end.
#[test]
fn calls_through_names_and_handles_share_one_queue() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (first, second) = (event_loop.bind(log.clone()), event_loop.bind(log.clone()));
    let (remote, clone) = (event_loop.remote(), first.clone());
    let other = second.clone();
    elsewhere(move || {
        other.call_soon_threadsafe(|log| log.push(1)).unwrap();
        first.call_soon_threadsafe(|log| log.push(2)).unwrap();
        remote
            .call_soon_threadsafe(move || other.with(|log| log.push(3)).unwrap())
            .unwrap();
        clone.call_soon_threadsafe(|log| log.push(4)).unwrap();
    });
    event_loop.call_soon(log.event(5));
    second.call_soon_threadsafe(|log| log.push(6)).unwrap();
    event_loop.call_soon(log.event(7));
    log.expect(&[]);
    turn(&event_loop);
    // 5 was there before the loop looked into its mail, and 6 is what made it look.
    log.expect(&["5", "1", "2", "3", "4", "6", "7"]);
}

/// X1: a callback that panics is reported, and does no harm to the value.
#[test]
fn a_callback_that_panics_is_reported_and_the_value_stays() {
    let ((event_loop, log), lives) = (reporting_loop(), Lives::default());
    let name = event_loop.bind(lives.value());
    name.call_soon_threadsafe(|_| panic!("bug")).unwrap();
    name.call_soon_threadsafe(Life::touch).unwrap();
    turn(&event_loop);
    let report = log.take();
    assert!(
        report[0].starts_with("panic in a callback: bug"),
        "{report:?}"
    );
    assert_eq!(name.with(|value| value.uses.get()), Ok(1));
    assert_eq!(lives.alive(), 1);
}

/// A loop with another order keeps that of the posts, and the value outlives them.
#[test]
fn a_shuffled_loop_keeps_the_order_of_calls() {
    for seed in 0..20 {
        let event_loop = EventLoop::builder().order(Order::Shuffled { seed }).build();
        let (log, lives) = (Log::new(), Lives::default());
        for n in 0..3 {
            event_loop.create_task(async move {
                for _ in 0..n {
                    yield_now().await;
                }
            });
        }
        let name = event_loop.bind((lives.value(), log.clone()));
        for n in 1..=4 {
            name.call_soon_threadsafe(move |(value, log)| log.push(value.lives.alive() * n))
                .unwrap();
        }
        drop(name);
        settle(&event_loop);
        log.expect(&["1", "2", "3", "4"]);
        lives.expect_ended_here(1);
    }
}

/// L3: many threads use clones of one name; nothing is lost, and each thread's order is kept.
#[test]
fn many_threads_call_with_one_value() {
    const THREADS: usize = 8;
    const EACH: usize = 500;
    let event_loop = EventLoop::new();
    let (seen, lives) = (Rc::new(RefCell::new(vec![0; THREADS])), Lives::default());
    let name = event_loop.bind((lives.value(), seen.clone()));
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (name, start) = (name.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for n in 0..EACH {
                    let name = name.clone();
                    name.call_soon_threadsafe(move |(value, seen)| {
                        value.touch();
                        assert_eq!(std::mem::replace(&mut seen.borrow_mut()[thread], n + 1), n);
                    })
                    .unwrap();
                }
            })
        })
        .collect();
    drop(name);
    while lives.alive() > 0 {
        event_loop.run_once(None).unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*seen.borrow(), [EACH; THREADS]);
    lives.expect_ended_here(1);
}

// ---- looking

/// `with` looks at once, in a run and outside, also from another loop of the thread.
#[test]
fn with_looks_at_the_value_on_its_own_thread() {
    let (event_loop, other, lives) = (virtual_loop(), virtual_loop(), Lives::default());
    let name = event_loop.bind(lives.value());
    name.call_soon_threadsafe(|value| assert_eq!(value.uses.get(), 3))
        .unwrap();
    assert_eq!(name.with(Life::touch), Ok(()));
    for event_loop in [&event_loop, &other] {
        let name = name.clone();
        let look = event_loop.run_until_complete(async move {
            // In itself, too.
            name.with(|_| name.with(Life::touch))
        });
        assert_eq!(look.unwrap(), Ok(Ok(())));
    }
    turn(&event_loop);
    assert_eq!(name.with(|value| value.uses.get()), Ok(3));
}

/// Elsewhere it says whose the value is.
#[test]
fn with_is_refused_on_another_thread() {
    let event_loop = virtual_loop();
    let name = event_loop.bind(Rc::new(1));
    let refused = elsewhere(move || name.with(|_| ())).unwrap_err();
    assert!(matches!(refused, LoopBoundError::OtherThread(_)));
    let text = refused.to_string();
    let expected = "the value belongs to another thread, to the event loop created at tests";
    assert!(text.starts_with(expected), "{text}");
}

/// A name prints what it names, and where.
#[test]
fn a_name_prints_what_it_names() {
    let event_loop = virtual_loop();
    let text = format!("{:?}", event_loop.bind(Rc::new(1_u8)));
    let expected = "<LoopBound alloc::rc::Rc<u8> on the loop created at ";
    assert!(text.starts_with(expected), "{text}");
}

// ---- the last name goes

/// In whichever order names on several threads go: the value stays until the last one, sees all calls, and is
/// dropped on its own thread.
#[test]
fn the_value_goes_with_the_last_name_on_its_own_thread() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in orders {
        let (event_loop, lives) = (virtual_loop(), Lives::default());
        let value = lives.value();
        let uses = value.uses.clone();
        let own = event_loop.bind(value);
        let names = [own.clone(), own.clone()].map(|name| {
            let (drop_it, wait) = channel::<()>();
            let thread = thread::spawn(move || {
                assert!(wait.recv().is_err());
                name.call_soon_threadsafe(Life::touch).unwrap();
                drop(name);
            });
            (drop_it, thread)
        });
        let mut names = names.map(Some);
        let mut own = Some(own);
        for (gone, which) in order.into_iter().enumerate() {
            assert_eq!((lives.alive(), uses.get()), (1, gone));
            if which == 2 {
                let own = own.take().unwrap();
                own.call_soon_threadsafe(Life::touch).unwrap();
                drop(own);
            } else {
                let (drop_it, thread) = names[which].take().unwrap();
                drop(drop_it);
                thread.join().unwrap();
            }
            assert_eq!(lives.alive(), 1, "it goes when the loop runs");
            // The call, and after the last one the end.
            assert_eq!(turn(&event_loop), if gone == 2 { 2 } else { 1 });
            assert_eq!(uses.get(), gone + 1);
        }
        lives.expect_ended_here(1);
        assert_eq!(event_loop.next_deadline(), None);
    }
}

/// L14: a loop that sleeps wakes up to drop a value whose last name goes.
#[test]
fn the_last_name_wakes_a_sleeping_loop() {
    let event_loop = EventLoop::new();
    event_loop.call_later(Duration::from_secs(3600), || ());
    let handle = event_loop.handle();
    let name = event_loop.bind(OnDrop::new(move || handle.stop()));
    let thread = thread::spawn(move || drop(name));
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    thread.join().unwrap();
}

/// A host that runs the loop turn by turn hears of it.
#[test]
fn a_host_hears_of_the_last_name() {
    let (event_loop, calls) = (EventLoop::new(), Arc::new(AtomicUsize::new(0)));
    let counter = calls.clone();
    event_loop.set_wakeup_hook(move || _ = counter.fetch_add(1, Ordering::SeqCst));
    let lives = Lives::default();
    for n in 1..=2 {
        let name = event_loop.bind(lives.value());
        match n {
            1 => elsewhere(move || drop(name)),
            _ => drop(name),
        }
        assert_eq!(calls.load(Ordering::SeqCst), n);
        assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
        assert_eq!(turn(&event_loop), 1);
    }
    lives.expect_ended_here(2);
}

/// DESIGN 9.11: names alone keep no loop from being idle; a thread that has announced itself is waited for, and
/// the end of a value is something that happens.
#[test]
fn names_do_not_keep_a_virtual_clock_waiting_but_expected_work_does() {
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let name = event_loop.bind(lives.value());
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    assert_eq!(lives.alive(), 1);

    let (start, wait) = channel::<()>();
    let expected = name.remote().expect_work();
    let value = event_loop.create_future::<()>();
    let promise = value.clone();
    let dropped = event_loop.bind(OnDrop::new(move || promise.set_result(()).unwrap()));
    let thread = thread::spawn(move || {
        wait.recv().unwrap();
        drop((name, dropped));
        drop(expected);
    });
    event_loop.call_soon(move || start.send(()).unwrap());
    assert!(event_loop.run_until_complete(value).is_ok());
    thread.join().unwrap();
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    lives.expect_ended_here(1);
    assert_eq!(event_loop.time(), Duration::ZERO);
}

/// A value that has its own name in it waits for the end of the loop.
#[test]
fn a_value_with_its_own_name_goes_when_the_loop_is_closed() {
    struct Own(RefCell<Option<LoopBound<Own>>>, Life);
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let name = event_loop.bind(Own(RefCell::default(), lives.value()));
    let own = name.clone();
    name.with(|value| {
        value.1.touch();
        value.0.replace(Some(own));
    })
    .unwrap();
    drop(name);
    settle(&event_loop);
    assert_eq!(lives.alive(), 1);
    drop(event_loop);
    lives.expect_ended_here(1);
}

// ---- submitting

/// T15: a coroutine that is made of the value, and gives a thread its result.
#[test]
fn a_thread_gets_the_result_of_a_coroutine_made_of_the_value() {
    async fn total(queue: Queue<u32>) -> u32 {
        let mut total = 0;
        while let Ok(item) = queue.get().await {
            total += item;
        }
        total
    }
    let event_loop = EventLoop::new();
    let name = event_loop.bind(Queue::new(1));
    let thread = thread::spawn(move || {
        let total = name.run_coroutine_threadsafe(|queue| total(queue.clone()));
        for item in 1..=10 {
            let put = name.run_coroutine_threadsafe(move |queue| queue.put(item));
            put.result(None).unwrap().unwrap();
        }
        name.call_soon_threadsafe(|queue| queue.shutdown(false))
            .unwrap();
        let total = total.result(None);
        name.remote().stop();
        total
    });
    event_loop.run_forever();
    assert_eq!(thread.join().unwrap().unwrap(), 55);
}

/// The name may go at once: the coroutine is made nevertheless, and does without the value after that.
#[test]
fn a_submitted_coroutine_needs_neither_the_name_nor_the_value() {
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let name = event_loop.bind(lives.value());
    let future = elsewhere(move || {
        name.run_coroutine_threadsafe(|value| {
            value.touch();
            let (uses, lives) = (value.uses.clone(), value.lives.clone());
            async move {
                sleep(ms(5)).await;
                (uses.get(), lives.alive())
            }
        })
    });
    event_loop.run_forever();
    assert_eq!(future.result(Some(Duration::ZERO)).unwrap(), (1, 0));
    lives.expect_ended_here(1);
}

/// T15: panics, cancellations and the end of the loop end the future.
#[test]
fn a_submitted_coroutine_that_fails_ends_its_future() {
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let name = event_loop.bind(lives.value());
    let now = Some(Duration::ZERO);
    let broken = name.run_coroutine_threadsafe(|_| -> std::future::Ready<()> { panic!("make") });
    let failing = name.run_coroutine_threadsafe(|_| async { panic!("run") });
    let sleeping = name.run_coroutine_threadsafe(|_| sleep(ms(1000)));
    for _ in 0..4 {
        turn(&event_loop);
    }
    for (future, message) in [(broken, "make"), (failing, "run")] {
        let Err(concurrent::ResultError::Panicked(panic)) = future.result(now) else {
            panic!("it panicked")
        };
        assert_eq!(panic.message(), message);
    }
    assert!(sleeping.cancel());
    settle(&event_loop);
    assert!(event_loop.all_tasks().is_empty());

    let waiting = name.run_coroutine_threadsafe(|_| std::future::pending::<()>());
    turn(&event_loop);
    let unmade = name.run_coroutine_threadsafe(|_| async {});
    event_loop.close();
    let late = name.run_coroutine_threadsafe(|_| async {});
    for future in [waiting, unmade, late] {
        let result = future.result(now);
        assert!(matches!(result, Err(concurrent::ResultError::LoopClosed)));
    }
    lives.expect_ended_here(1);
}

// ---- closing

/// R11: a closing loop drops coroutines, callbacks and timers, and what their drops schedule; then what is bound to
/// it, in order, and what *that* schedules. Until then the values are there.
#[test]
fn closing_drops_values_last_in_the_order_in_which_they_were_bound() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let guard = |what: &'static str| {
        let log = log.clone();
        OnDrop::new(move || log.push(what))
    };
    let (handle, last) = (event_loop.handle(), guard("scheduled by the first value"));
    let first = guard("first value");
    let names = (
        event_loop.bind(OnDrop::new(move || {
            drop(first);
            handle.call_soon(move || drop(last));
        })),
        event_loop.bind(guard("second value")),
        event_loop.bind(log.clone()),
    );
    let (handle, named, scheduled) = (event_loop.handle(), names.2.clone(), guard("scheduled"));
    let coroutine = OnDrop::new(move || {
        named.with(|log| log.push("coroutine")).unwrap();
        handle.call_soon(move || drop(scheduled));
    });
    event_loop.create_task(async move {
        let _coroutine = coroutine;
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    let (callback, timer) = (guard("callback"), guard("timer"));
    event_loop.call_soon(move || drop(callback));
    event_loop.call_later(ms(1), move || drop(timer));
    event_loop.set_exception_handler(|_, _| ());
    event_loop.close();
    log.expect(&[
        "coroutine",
        "callback",
        "scheduled",
        "timer",
        "first value",
        "second value",
        "scheduled by the first value",
    ]);
    drop(names);
    log.expect(&[]);
}

/// R12: names outlive the loop; callbacks come back, and nothing can be bound.
#[test]
fn a_closed_loop_gives_callbacks_back_and_binds_nothing() {
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let (handle, name) = (event_loop.handle(), event_loop.bind(lives.value()));
    drop(event_loop);
    lives.expect_ended_here(1);
    let give = |name: LoopBound<Life>| {
        let text = String::from("mine");
        let refused: LoopClosedError<_> = name
            .call_soon_threadsafe(move |_| drop(text))
            .expect_err("it is closed");
        assert_eq!(refused.to_string(), "event loop is closed");
        drop(refused.into_inner());
        assert_eq!(name.with(|_| ()), Err(LoopBoundError::LoopClosed));
        assert!(name.remote().is_closed());
        let text = LoopBoundError::LoopClosed.to_string();
        assert_eq!(text, "event loop is closed");
    };
    give(name.clone());
    elsewhere(move || give(name));

    let (refused, late) = (handle.clone(), lives.value());
    let panicked = catch_unwind(AssertUnwindSafe(|| refused.bind(late))).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("event loop created at "), "{message}");
    // A drop that binds while the thread unwinds must not panic.
    let late = lives.value();
    let binds = OnDrop::new(move || {
        let name = handle.bind(late);
        assert_eq!(name.with(|_| ()), Err(LoopBoundError::LoopClosed));
    });
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _binds = binds;
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    lives.expect_ended_here(3);
}

/// R12: threads call, submit, clone and drop while the loop is closed: all callbacks run, are dropped, or come back,
/// and so does the value.
#[test]
fn using_names_races_with_closing_and_nothing_is_lost() {
    for round in 0..50 {
        let (event_loop, lives) = (EventLoop::new(), Lives::default());
        let (captured, start) = (Arc::new(()), Arc::new(Barrier::new(4)));
        let name = event_loop.bind(lives.value());
        let threads = [0, 1, 2].map(|which| {
            let (name, held, start) = (name.clone(), captured.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                loop {
                    let (name, held) = (name.clone(), held.clone());
                    let closed = match which {
                        0 => name.call_soon_threadsafe(move |_| drop(held)).is_err(),
                        1 => {
                            let made = name.run_coroutine_threadsafe(move |_| async { drop(held) });
                            matches!(made.result(None), Err(concurrent::ResultError::LoopClosed))
                        }
                        // Its names go at once.
                        _ => break,
                    };
                    if closed {
                        break;
                    }
                }
            })
        });
        drop(name);
        start.wait();
        for _ in 0..round % 4 {
            turn(&event_loop);
        }
        drop(event_loop);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(Arc::strong_count(&captured), 1);
        lives.expect_ended_here(1);
    }
}

// ---- drops that do something

/// X1: a drop that panics is reported with the place where the value was bound; others are not affected.
#[test]
fn a_value_that_panics_as_it_is_dropped_is_reported() {
    let ((event_loop, log), lives) = (reporting_loop(), Lives::default());
    let bomb = || OnDrop::new(|| panic!("bomb"));
    let name = event_loop.bind(bomb());
    let expected = format!("panic in drop of a bound value: bomb ({})", line!() - 1);
    event_loop.call_soon(log.event("before"));
    elsewhere(move || drop(name));
    turn(&event_loop);
    event_loop.call_soon(log.event("after"));
    turn(&event_loop);
    log.expect(&["before", &expected, "after"]);

    let names = (
        event_loop.bind(bomb()),
        event_loop.bind(lives.value()),
        event_loop.bind(bomb()),
    );
    let line = line!() - 4;
    event_loop.close();
    let expected =
        [line, line + 2].map(|line| format!("panic in drop of a bound value: bomb ({line})"));
    assert_eq!(log.take(), expected);
    lives.expect_ended_here(1);
    drop(names);
}

type Action = Box<dyn FnOnce()>;

/// The drop of a value may bind, call, look, drop other names, and use its own one.
#[test]
fn the_drop_of_a_value_may_do_anything() {
    for closing in [false, true] {
        let (event_loop, log, lives) = (virtual_loop(), Log::new(), Lives::default());
        let (handle, logged) = (event_loop.handle(), event_loop.bind(log.clone()));
        let (other, made) = (event_loop.bind(lives.value()), lives.value());
        let own: Rc<RefCell<Weak<LoopBound<OnDrop<Action>>>>> = Rc::default();
        let (mine, events) = (own.clone(), log.clone());
        let action: Action = Box::new(move || {
            let gone = mine.borrow().upgrade().is_none();
            events.push(format!("own name gone: {gone}"));
            let bound = handle.bind(made);
            assert_eq!(bound.with(Life::touch), Ok(()));
            bound.call_soon_threadsafe(Life::touch).unwrap();
            // A closing loop has let go of what was bound with it.
            let looked = logged.with(|log| log.push("looked"));
            assert_eq!(looked.is_err(), closing);
            logged
                .call_soon_threadsafe(|log| log.push("called"))
                .unwrap();
            drop((bound, other));
        });
        let name = Rc::new(event_loop.bind(OnDrop::new(action)));
        own.replace(Rc::downgrade(&name));
        if closing {
            drop(event_loop);
            log.expect(&["own name gone: false"]);
        } else {
            drop(name);
            settle(&event_loop);
            log.expect(&["own name gone: true", "looked", "called"]);
        }
        lives.expect_ended_here(2);
    }
}

/// What looks at a value may close the loop: the value is there until the look is over, then it goes.
#[test]
fn a_look_may_close_the_loop() {
    let ((event_loop, log), lives) = (reporting_loop(), Lives::default());
    let name = event_loop.bind((lives.value(), OnDrop::new(|| panic!("bomb"))));
    let inner = name.clone();
    let looked = name.with(|(value, _)| {
        event_loop.close();
        value.touch();
        assert_eq!(inner.with(|_| ()), Err(LoopBoundError::LoopClosed));
        value.lives.alive()
    });
    assert_eq!(looked, Ok(1));
    lives.expect_ended_here(1);
    // The handler went with the loop: the panic was logged, and did not come out of `with`.
    log.expect(&[]);
}

/// A look that panics while the loop has let go of the value: one panic comes out, and nothing aborts.
#[test]
fn a_look_that_panics_leaves_the_value_as_it_is() {
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let name = event_loop.bind((lives.value(), OnDrop::new(|| panic!("bomb"))));
    let look = |close: bool| {
        let looked = catch_unwind(AssertUnwindSafe(|| {
            name.with(|_| {
                if close {
                    event_loop.close();
                }
                panic!("look")
            })
        }));
        *looked.unwrap_err().downcast::<&str>().unwrap()
    };
    assert_eq!(look(false), "look");
    assert_eq!(lives.alive(), 1);
    assert_eq!(look(true), "look");
    lives.expect_ended_here(1);
}

/// A name that a callback or coroutine has, and that goes with it, lets go of the value as well.
#[test]
fn names_in_callbacks_and_coroutines_go_with_them() {
    let (event_loop, lives) = (virtual_loop(), Lives::default());
    let name = event_loop.bind(lives.value());
    let (callback, held) = (name.clone(), name.clone());
    event_loop.call_soon(move || callback.call_soon_threadsafe(Life::touch).unwrap());
    name.call_soon_threadsafe(move |_| drop(held)).unwrap();
    let task = event_loop.create_task(async move {
        sleep(ms(1)).await;
        name.with(Life::touch)
    });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), Ok(()));
    settle(&event_loop);
    lives.expect_ended_here(1);
}

/// Values of one loop that are used by another: each on its own thread.
#[test]
fn loops_answer_each_other() {
    let here = EventLoop::builder().clock(Clock::Monotonic).build();
    let answers = Queue::new(0);
    let back = here.bind(answers.clone());
    let (send, receive) = channel();
    let thread = thread::spawn(move || {
        let there = EventLoop::new();
        let questions = Queue::new(0);
        send.send(there.bind(questions.clone())).unwrap();
        let answer = there.run_until_complete(async move {
            while let Ok(question) = questions.get().await {
                let answer = move |answers: &Queue<u32>| answers.put_nowait(question * 2).unwrap();
                back.call_soon_threadsafe(answer).unwrap();
            }
        });
        answer.unwrap();
    });
    let questions: LoopBound<Queue<u32>> = receive.recv().unwrap();
    let answers = here.run_until_complete(async move {
        let mut got = Vec::new();
        for n in 1..=3 {
            let ask = move |questions: &Queue<u32>| questions.put_nowait(n).unwrap();
            questions.call_soon_threadsafe(ask).unwrap();
            got.push(answers.get().await.unwrap());
        }
        questions
            .call_soon_threadsafe(|questions| questions.shutdown(false))
            .unwrap();
        got
    });
    assert_eq!(answers.unwrap(), [2, 4, 6]);
    thread.join().unwrap();
}
