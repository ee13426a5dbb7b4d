//! The loop as a guest of a host that *blocks*: a window system, a plug-in host, whatever sleeps in a queue
//! of its own until there is a message. (`frame_loop` is the other case: a host that has a pace of its
//! own, and looks in by itself.)
//!
//! You will see the keys that a user types into a window, the answer of a thread that looks the word up,
//! and a cursor that blinks: all on the thread of the window. The host never asks whether the loop has work:
//! the wake-up hook tells it, by a message like all others. Then the same with a socket, for hosts that wait
//! for descriptors.
//!
//! ```text
//! cargo run --example foreign_loop
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use callsoon::{EventLoop, Queue, RemoteHandle, create_task, get_running_loop, sleep};

fn main() -> io::Result<()> {
    println!("A host with a queue of messages:");
    let (window, messages) = channel();
    let user = window.clone();
    let typing = thread::spawn(move || {
        "hello\n".chars().for_each(|key| {
            user.send(Message::Key(key)).expect("the window is open");
        });
    });
    run_window(window, &messages);
    typing.join().expect("it only types");

    println!("A host that waits for a descriptor:");
    run_reader()
}

/// What the window system tells its window.
enum Message {
    Key(char),
    /// "callsoon has work": the only one that the host has to add to its own.
    Work,
    Close,
}

/// The host's loop. It sleeps in `recv`, and nowhere else.
fn run_window(window: Sender<Message>, messages: &Receiver<Message>) {
    let event_loop = EventLoop::new();
    let host = window.clone();
    // Called by whichever thread makes something due earlier than the host would wake up.
    event_loop.set_wakeup_hook(move || drop(host.send(Message::Work)));

    let keys = Queue::new(0);
    event_loop.create_task(application(keys.clone(), window));
    let mut wakeups = 0;
    loop {
        let message = match event_loop.next_deadline() {
            None => messages.recv().ok(),
            // No message in time: a timer of the loop is due.
            Some(limit) => messages.recv_timeout(limit).ok(),
        };
        wakeups += 1;
        match message {
            Some(Message::Key(key)) => keys.put_nowait(key).expect("there is room"),
            Some(Message::Close) => break,
            Some(Message::Work) | None => {}
        }
        // After each message, for what it has caused; it does not wait.
        event_loop
            .run_once(Some(Duration::ZERO))
            .expect("it is open");
    }
    assert!(wakeups < 100, "the host spins");
}

/// The guest: coroutines, as on any other loop.
async fn application(keys: Queue<char>, window: Sender<Message>) {
    let mut word = String::new();
    loop {
        match keys.get().await.expect("nobody shuts it down") {
            '\n' => break,
            key => word.push(key),
        }
        println!("  typed: {word}");
    }
    let remote = get_running_loop().remote();
    thread::spawn(move || look_up(&word, &remote, window));
}

/// On another thread. What it posts is run by the host, which sleeps meanwhile.
fn look_up(word: &str, remote: &RemoteHandle, window: Sender<Message>) {
    let meaning = format!("{word} is a greeting");
    let show = move || {
        println!("  {meaning}");
        create_task(blink(window));
    };
    assert!(remote.call_soon_threadsafe(show).is_ok(), "it is open");
}

/// Timers, which the host learns of by `next_deadline`.
async fn blink(window: Sender<Message>) {
    for n in 1..=3 {
        sleep(Duration::from_millis(10)).await;
        println!("  blink {n}");
    }
    window.send(Message::Close).expect("the window is open");
}

/// A host that can wait for descriptors only: the hook writes a byte for it to read. This one reads from
/// one and blocks; others have a `select` with many, and one more does not matter.
fn run_reader() -> io::Result<()> {
    let (wake, mut woken) = pair()?;
    // One byte that is not read yet is as good as many: if there is no room, there is no need.
    wake.set_nonblocking(true)?;
    let event_loop = EventLoop::new();
    event_loop.set_wakeup_hook(move || drop((&wake).write(&[0])));

    let remote = event_loop.remote();
    thread::spawn(move || {
        remote.call_soon_threadsafe(|| {
            println!("  posted by a thread");
            callsoon::call_later(Duration::from_millis(10), || {
                println!("  a timer");
                get_running_loop().stop();
            });
        })
    });
    loop {
        match event_loop.next_deadline() {
            Some(Duration::ZERO) => {}
            limit => {
                woken.set_read_timeout(limit)?;
                // Also over when the time is up; then there is a timer to run.
                drop(woken.read(&mut [0; 64]));
            }
        }
        let turn = event_loop.run_once(Some(Duration::ZERO));
        if turn.expect("it is open").stopped {
            return Ok(());
        }
    }
}

/// Two ends of a connection, on every platform. On Unix it would be `UnixStream::pair`.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    Ok((one, other))
}
