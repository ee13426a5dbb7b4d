//! Model checks of the mailbox: every interleaving of a few threads, with every value that a weak
//! memory may let a load see. A wake-up that is lost shows as a deadlock.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;

use super::loop_models::Bed;
use super::mailbox::Mailbox;

/// What a loop does at the beginning of a turn.
fn turn<T>(mailbox: &Mailbox<T>, got: &mut Vec<T>) {
    if !mailbox.is_pending() {
        mailbox.wait(None);
    }
    if mailbox.is_pending() {
        let mut mail = Vec::new();
        mailbox.take_into(&mut mail);
        got.append(&mut mail);
    }
}

/// Runs a thread that posts these items and is never refused.
fn poster(mailbox: &Arc<Mailbox<u32>>, items: &'static [u32]) -> thread::JoinHandle<()> {
    let mailbox = mailbox.clone();
    thread::spawn(move || {
        for &item in items {
            mailbox.post(item, |item| item).expect("it is open");
        }
    })
}

#[test]
fn sleeping_taker_gets_what_two_threads_post_once_and_in_order_per_thread() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let threads = [poster(&mailbox, &[10, 11]), poster(&mailbox, &[20])];
        let mut got = Vec::new();
        while got.len() < 3 {
            turn(&mailbox, &mut got);
        }
        assert!(
            [[10, 11, 20], [10, 20, 11], [20, 10, 11]].contains(&[got[0], got[1], got[2]]),
            "{got:?}"
        );
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert!(mailbox.close().is_empty(), "nothing came twice");
    });
}

#[test]
fn taker_that_only_polls_the_flag_gets_what_was_posted_before_it_was_told() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let poster = poster(&mailbox, &[1, 2]);
        let mut got = Vec::new();
        if mailbox.is_pending() {
            mailbox.take_into(&mut got);
            assert_eq!(got.first(), Some(&1), "the flag tells the truth");
        }
        poster.join().unwrap();
        if got.len() < 2 {
            assert!(mailbox.is_pending());
            let mut rest = Vec::new();
            mailbox.take_into(&mut rest);
            got.append(&mut rest);
        }
        assert_eq!(got, [1, 2]);
        assert!(!mailbox.is_pending());
    });
}

#[test]
fn what_a_thread_wrote_before_it_posted_is_seen_by_who_takes() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let written = Arc::new(AtomicU32::new(0));
        let poster = {
            let (mailbox, written) = (mailbox.clone(), written.clone());
            thread::spawn(move || {
                written.store(1, Ordering::Relaxed);
                mailbox.post((), |()| ()).expect("it is open");
            })
        };
        let mut got = Vec::new();
        while got.is_empty() {
            turn(&mailbox, &mut got);
        }
        assert_eq!(written.load(Ordering::Relaxed), 1);
        poster.join().unwrap();
    });
}

#[test]
fn nudge_wakes_a_sleeper_for_which_nothing_was_posted() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::<u32>::new());
        let over = Arc::new(AtomicBool::new(false));
        let nudger = {
            let (mailbox, over) = (mailbox.clone(), over.clone());
            thread::spawn(move || {
                over.store(true, Ordering::Release);
                mailbox.nudge();
            })
        };
        let poster = poster(&mailbox, &[1]);
        let mut got = Vec::new();
        while !over.load(Ordering::Acquire) || got.is_empty() {
            turn(&mailbox, &mut got);
        }
        nudger.join().unwrap();
        poster.join().unwrap();
    });
}

#[test]
fn close_gives_what_was_not_taken_and_refuses_what_comes_later() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let threads = [[10, 11], [20, 21]].map(|items| {
            let mailbox = mailbox.clone();
            thread::spawn(move || items.map(|item| mailbox.post(item, |item| item)))
        });
        let mut got = Vec::new();
        if mailbox.is_pending() {
            mailbox.take_into(&mut got);
        }
        got.append(&mut mailbox.close());
        assert!(!mailbox.is_pending());
        for (thread, items) in threads.into_iter().zip([[10, 11], [20, 21]]) {
            let posted = thread.join().unwrap();
            let accepted = posted.iter().take_while(|posted| posted.is_ok()).count();
            let of_it = got.iter().filter(|item| items.contains(item));
            assert!(of_it.eq(&items[..accepted]), "{got:?} {posted:?}");
            for (posted, item) in posted.iter().zip(items).skip(accepted) {
                assert_eq!(*posted, Err(item), "once closed, closed for good");
            }
        }
        assert!(mailbox.is_closed() && !mailbox.is_pending());
        assert!(mailbox.close().is_empty());
    });
}

#[test]
fn who_posts_first_knows_it_so_that_a_host_hears_of_every_batch() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let bed = Arc::new(Bed::default());
        let threads = [1, 2].map(|item| {
            let (mailbox, bed) = (mailbox.clone(), bed.clone());
            thread::spawn(move || {
                if mailbox.post(item, |item| item).expect("it is open") {
                    bed.wake();
                }
            })
        });
        let mut got = Vec::new();
        while got.len() < 2 {
            // The host never sleeps in the mailbox, but in a place of its own.
            if !mailbox.is_pending() {
                bed.sleep();
            }
            let mut mail = Vec::new();
            mailbox.take_into(&mut mail);
            got.append(&mut mail);
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}
