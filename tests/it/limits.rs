//! Limits of time: a `Duration`, or an `Option` of one.

use std::future::pending;
use std::time::Duration;

use callsoon::concurrent::{self, Executor, ThreadPoolExecutor};
use callsoon::{ReturnWhen, timeout, wait, wait_for};

use crate::support::{ms, virtual_loop};

/// W1: every limit of a coroutine takes both, and `None`.
#[test]
fn coroutines_take_a_duration_or_an_option() {
    let event_loop = virtual_loop();
    let (limit, option) = (ms(1), Some(ms(1)));
    event_loop
        .run_until_complete(async move {
            let never = callsoon::create_future::<()>();
            let all = || ReturnWhen::AllCompleted;
            assert_eq!(wait([&never], all(), limit).await.1.len(), 1);
            assert_eq!(wait([&never], all(), option).await.1.len(), 1);
            assert!(timeout(limit, pending::<()>()).await.is_err());
            assert!(timeout(option, pending::<()>()).await.is_err());
            assert!(wait_for(pending::<()>(), limit).await.is_err());
            assert!(wait_for(pending::<()>(), option).await.is_err());
            let done = callsoon::create_future();
            done.set_result(1).unwrap();
            assert_eq!(
                wait([&done], ReturnWhen::AllCompleted, None).await.0.len(),
                1
            );
            assert_eq!(timeout(None, &done).await, Ok(1));
            assert_eq!(wait_for(&done, None).await, Ok(1));
        })
        .unwrap();
    assert_eq!(event_loop.time(), ms(6));
}

/// So does a turn, and the end of the default executor.
#[test]
fn the_loop_takes_a_duration_or_an_option() {
    let event_loop = virtual_loop();
    for limit in [Duration::ZERO, ms(1)] {
        assert_eq!(event_loop.run_once(limit).unwrap().ran, 0);
        assert_eq!(event_loop.run_once(Some(limit)).unwrap().ran, 0);
    }
    event_loop.call_soon(|| ());
    assert_eq!(event_loop.run_once(None).unwrap().ran, 1);
    let ends = [
        event_loop.run_until_complete(event_loop.shutdown_default_executor(ms(1))),
        event_loop.run_until_complete(event_loop.shutdown_default_executor(Some(ms(1)))),
        event_loop.run_until_complete(event_loop.shutdown_default_executor(None)),
    ];
    for end in ends {
        assert_eq!(end.unwrap(), Ok(()));
    }
}

/// So does whoever blocks a thread.
#[test]
fn threads_take_a_duration_or_an_option() {
    let (limit, option) = (Duration::ZERO, Some(Duration::ZERO));
    let never = concurrent::Future::<Result<u32, &str>>::new();
    assert!(never.result(limit).is_err() && never.result(option).is_err());
    assert!(never.take_result(limit).is_err() && never.take_result(option).is_err());
    assert!(never.exception(limit).is_err() && never.exception(option).is_err());
    let all = || ReturnWhen::AllCompleted;
    for (done, not_done) in [
        concurrent::wait([&never], all(), limit).unwrap(),
        concurrent::wait([&never], all(), option).unwrap(),
    ] {
        assert_eq!((done.len(), not_done.len()), (0, 1));
    }
    for mut late in [
        concurrent::as_completed([&never], limit),
        concurrent::as_completed([&never], option),
    ] {
        assert!(late.next().unwrap().is_err());
    }
    let pool = ThreadPoolExecutor::new(1);
    for mut results in [
        pool.map(|n| n + 1, [1], Duration::MAX).unwrap(),
        pool.map(|n| n + 1, [1], Some(Duration::MAX)).unwrap(),
        pool.map(|n| n + 1, [1], None).unwrap(),
    ] {
        assert_eq!(results.next().unwrap().unwrap(), 2);
    }
}
