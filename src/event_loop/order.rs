//! [`Order`]: in which order a turn runs what is ready.
//!
//! Every entry of a batch is in a *lane*. A shuffled loop keeps the order within each lane, and merges the
//! lanes at random: every merge is as likely as any other.

use std::collections::HashMap;

use super::clock::Nanos;
use crate::futures::Base;

/// In which order a loop runs what is ready in a turn.
///
/// A shuffled loop puts what is ready in another order at the beginning of each turn, as far as asyncio
/// promises none: a program that depends on more than what is promised then shows it. Whatever is ready in
/// a turn still runs once, and in that turn.
///
/// Promised, and never changed:
///
/// * callbacks of [`call_soon`](crate::LoopHandle::call_soon), and what
///   [`call_soon_threadsafe`](crate::RemoteHandle::call_soon_threadsafe) posts, run in the order in which
///   they were scheduled or arrived;
/// * the done-callbacks of one future run in the order of their registration;
/// * timers run in the order of their deadlines;
/// * what a turn schedules runs in a later one, and a task has at most one step in a turn;
/// * whoever comes first at a lock, a semaphore or a queue is woken first. Those who are woken in the
///   same turn go on in any order.
///
/// Not promised, and shuffled:
///
/// * steps of different tasks, first steps included;
/// * timers with equal deadlines;
/// * steps, timers, callbacks, and the callbacks of different futures, against each other.
///
/// What other threads post keeps the order in which it arrived: that is outside of the loop's hands, and
/// no seed could give it back.
///
/// *From asyncio:* nothing. Its loop is first in, first out, as [`Order::Fifo`] is; its documentation
/// promises no more than the first list.
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use callsoon::testing::Order;
/// use callsoon::{Clock, EventLoop};
///
/// fn order_of_steps(order: Order) -> String {
///     let event_loop = EventLoop::builder().clock(Clock::Virtual).order(order).build();
///     let log = Rc::new(RefCell::new(String::new()));
///     for name in ["a", "b", "c", "d"] {
///         let log = log.clone();
///         event_loop.create_task(async move { log.borrow_mut().push_str(name) });
///     }
///     event_loop.run_forever();
///     log.take()
/// }
///
/// assert_eq!(order_of_steps(Order::Fifo), "abcd");
/// assert_ne!(order_of_steps(Order::Shuffled { seed: 1 }), "abcd");
/// assert_eq!(order_of_steps(Order::Shuffled { seed: 1 }), order_of_steps(Order::Shuffled { seed: 1 }));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// First in, first out.
    #[default]
    Fifo,
    /// What has no promised order runs in one that follows from the seed, the same on every platform and
    /// in every version of this crate that runs the same program in the same turns.
    Shuffled {
        /// Where the random numbers begin.
        seed: u64,
    },
}

/// What an entry of the ready queue keeps its order with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// The callbacks of `call_soon`, and what threads post.
    Callbacks,
    /// The timers; those with equal deadlines have no order.
    Timers(Nanos),
    /// The steps of the task with this key.
    Task(u64),
    /// The done-callbacks of the future with this address.
    DoneCallbacks(usize),
    /// Whatever else has this address: what listens to futures.
    Of(usize),
}

impl Lane {
    /// That of something that has a lane to itself.
    pub(crate) fn of<T: ?Sized>(it: &T) -> Self {
        Self::Of(std::ptr::from_ref(it).cast::<()>().addr())
    }

    /// That of the done-callbacks of a future. Not that of the future itself, which may have the same
    /// address as its base, or not, as the compiler likes.
    pub(crate) fn done_callbacks_of(future: &Base) -> Self {
        Self::DoneCallbacks(std::ptr::from_ref(future).addr())
    }
}

/// Puts batches in another order.
pub(super) struct Shuffler {
    random: SplitMix64,
}

impl Shuffler {
    /// That of a loop with this order, if it has any.
    pub(super) fn of(order: Order) -> Option<Self> {
        match order {
            Order::Fifo => None,
            Order::Shuffled { seed } => Some(Self {
                random: SplitMix64(seed),
            }),
        }
    }

    /// An order for a batch whose entries are in these lanes: what is to come at `i` comes at
    /// `order[i]` now.
    ///
    /// It depends on which entries share a lane, and not on what the lanes are: addresses differ from
    /// run to run.
    pub(super) fn order(&mut self, entries: &[Lane]) -> Vec<usize> {
        let mut numbers = HashMap::new();
        let mut lanes: Vec<Vec<usize>> = Vec::new();
        // For each place the lane that comes next there.
        let mut places = Vec::with_capacity(entries.len());
        for (at, &entry) in entries.iter().enumerate() {
            let lane = match entry {
                Lane::Timers(_) => Lane::Timers(0),
                lane => lane,
            };
            let number = *numbers.entry(lane).or_insert(lanes.len());
            if number == lanes.len() {
                lanes.push(Vec::new());
            }
            lanes[number].push(at);
            places.push(number);
        }
        if let Some(&timers) = numbers.get(&Lane::Timers(0)) {
            for equals in lanes[timers].chunk_by_mut(|&a, &b| entries[a] == entries[b]) {
                self.random.shuffle(equals);
            }
        }
        self.random.shuffle(&mut places);
        let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
        let next = |lane: usize| {
            lanes[lane]
                .next()
                .expect("a place for each entry of a lane")
        };
        places.into_iter().map(next).collect()
    }
}

/// The generator of Steele, Lea and Flood: 64 bits of state, one addition and one mix a number.
///
/// Its own here, because its numbers are part of what the crate promises: a seed that a user has noted
/// must do the same in every later version, and a dependency may improve its generator.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number less than `end`. What it prefers by dividing unevenly is less than one in 2^32.
    fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.next()) * end as u128;
        (wide >> 64) as usize
    }

    /// From the back, each place gets one of those that are left.
    fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (2..=list.len()).rev() {
            let chosen = self.below(end);
            list.swap(end - 1, chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The numbers that the authors' own program gives.
    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix64(1_234_567);
        let numbers: Vec<_> = (0..5).map(|_| random.next()).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    /// A seed that somebody noted does the same for ever: this test may never change.
    #[test]
    fn a_seed_gives_the_same_order_in_every_version() {
        let entries: Vec<_> = (0..8).map(Lane::Of).collect();
        let mut shuffler = Shuffler::of(Order::Shuffled { seed: 42 }).unwrap();
        assert_eq!(shuffler.order(&entries), FIRST);
        assert_eq!(shuffler.order(&entries), SECOND);
    }

    const FIRST: [usize; 8] = [4, 3, 2, 0, 7, 6, 1, 5];
    const SECOND: [usize; 8] = [0, 7, 5, 4, 1, 3, 2, 6];

    #[test]
    fn addresses_make_no_difference() {
        let at = |base: usize| [base, base + 8, base, base + 16].map(Lane::Of);
        let order = |entries: &[Lane]| {
            let mut shuffler = Shuffler::of(Order::Shuffled { seed: 3 }).unwrap();
            shuffler.order(entries)
        };
        assert_eq!(order(&at(64)), order(&at(4096)));
    }

    #[test]
    fn a_lane_keeps_its_order_and_equal_timers_have_none() {
        let entries = [
            Lane::Callbacks,
            Lane::Of(1),
            Lane::Timers(5),
            Lane::Callbacks,
            Lane::Timers(7),
            Lane::Timers(7),
            Lane::Of(1),
        ];
        let mut seen = HashMap::new();
        for seed in 0..5000 {
            let mut shuffler = Shuffler::of(Order::Shuffled { seed }).unwrap();
            let order = shuffler.order(&entries);
            let place = |entry| order.iter().position(|&it| it == entry).unwrap();
            assert!(place(0) < place(3) && place(1) < place(6));
            assert!(place(2) < place(4) && place(2) < place(5));
            *seen.entry(order).or_insert(0) += 1;
        }
        // 7! / (2! 2! 3!) merges, and two orders of the equal timers.
        assert_eq!(seen.len(), 210 * 2);
        // None is preferred: it is twelve of each on average.
        assert!(seen.values().all(|&times| times < 40));
    }
}
