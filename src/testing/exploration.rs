//! [`Exploration`]: a test under many seeds.

use std::env;
use std::fmt;

use super::failure::Failure;

/// The variable of the environment that has only one seed tried.
const SEED: &str = "CALLSOON_SEED";

/// What came of a test under many seeds.
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use callsoon::{create_task, testing::Test};
///
/// let exploration = Test::new().try_explore(0..100, || async {
///     let log = Rc::new(RefCell::new(String::new()));
///     let write = |text| {
///         let log = log.clone();
///         create_task(async move { log.borrow_mut().push_str(text) })
///     };
///     let (hello, world) = (write("hello "), write("world"));
///     hello.await;
///     world.await;
///     assert_eq!(log.take(), "hello world");
/// });
/// let (seed, failure) = exploration.failed().expect("nobody promised that order");
/// assert_eq!(exploration.passed(), seed);
/// assert!(failure.to_string().contains("worldhello"));
/// assert!(exploration.to_string().contains(&format!("CALLSOON_SEED={seed}")));
/// ```
#[derive(Debug)]
#[must_use = "it may have failed"]
pub struct Exploration {
    passed: u64,
    failed: Option<(u64, Failure)>,
}

impl Exploration {
    /// Tries one seed after the other.
    #[track_caller]
    pub(super) fn of(
        seeds: impl IntoIterator<Item = u64>,
        mut run: impl FnMut(u64) -> Result<(), Failure>,
    ) -> Self {
        let mut exploration = Self {
            passed: 0,
            failed: None,
        };
        let only = env::var_os(SEED).map(|seed| {
            let number = seed.to_str().and_then(|seed| seed.trim().parse().ok());
            number.unwrap_or_else(|| panic!("{SEED} is no seed: {}", seed.display()))
        });
        let mut seeds = seeds.into_iter().take_while(|_| only.is_none());
        for seed in only.into_iter().chain(&mut seeds) {
            if let Err(failure) = run(seed) {
                exploration.failed = Some((seed, failure));
                break;
            }
            exploration.passed += 1;
        }
        exploration
    }

    /// Gives under how many seeds the test passed.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let exploration = callsoon::testing::Test::new().try_explore(0..10, || async {});
    /// assert_eq!(exploration.passed(), 10);
    /// ```
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Gives the first seed under which it failed, and how.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Exploration`].
    pub fn failed(&self) -> Option<(u64, &Failure)> {
        let (seed, failure) = self.failed.as_ref()?;
        Some((*seed, failure))
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed;
        match &self.failed {
            None => write!(f, "test passed under {passed} seeds"),
            Some((seed, failure)) => write!(
                f,
                "test failed under seed {seed}, after {passed} that passed: {failure}\n\
                 to replay it: {SEED}={seed} in the environment, or Order::Shuffled {{ seed: {seed} }}"
            ),
        }
    }
}
