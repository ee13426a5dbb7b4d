//! The errors of queues, where one coroutine has several of them.

use callsoon::{GetNowaitError, PutNowaitError, Queue, QueueShutDown, run};

use crate::support::Drops;

/// DIFFERENCE: errors that carry an item have types of their own; the item-less one unites them.
#[test]
fn whoever_gets_and_puts_has_one_error() {
    async fn both_wait(queue: Queue<u32>) -> Result<(), QueueShutDown> {
        let item = queue.get().await?;
        queue.put(item).await.map_err(QueueShutDown::without_item)
    }
    async fn one_waits(queue: Queue<u32>) -> Result<(), PutNowaitError<()>> {
        let item = queue.get().await?;
        let put = queue.put_nowait(item);
        put.map_err(PutNowaitError::without_item)
    }
    async fn the_other_waits(queue: Queue<u32>) -> Result<(), GetNowaitError> {
        let item = queue.get_nowait()?;
        let put = queue.put(item).await;
        put.map_err(QueueShutDown::without_item)?;
        Ok(())
    }
    // Shut down when the item is asked for, or when it is to be put back.
    for items in [0, 1] {
        let queue = || {
            let queue = Queue::new(0);
            (0..items).for_each(|item| queue.put_nowait(item).unwrap());
            queue.shutdown(false);
            queue
        };
        assert_eq!(run(both_wait(queue())), Err(QueueShutDown(())));
        let refused = PutNowaitError::QueueShutDown(());
        assert_eq!(run(one_waits(queue())), Err(refused));
        let refused = GetNowaitError::QueueShutDown;
        assert_eq!(run(the_other_waits(queue())), Err(refused));
    }
}

/// Why it was refused stays, and the item goes.
#[test]
fn an_error_without_its_item_keeps_the_reason() {
    let drops = Drops::new();
    let queue = Queue::new(1);
    queue.put_nowait(drops.guard()).unwrap();
    let full = queue.put_nowait(drops.guard()).unwrap_err().without_item();
    assert_eq!(full, PutNowaitError::QueueFull(()));
    assert_eq!(drops.count(), 1);
    queue.shutdown(false);
    let over = queue.put_nowait(drops.guard()).unwrap_err().without_item();
    assert_eq!(over, PutNowaitError::QueueShutDown(()));
    assert_eq!(drops.count(), 2);
}

/// The item of a put is kept where the error changes its type alone.
#[test]
fn a_refused_item_survives_the_conversion() {
    let refused = PutNowaitError::from(QueueShutDown("late"));
    assert_eq!(refused.into_item(), "late");
}
