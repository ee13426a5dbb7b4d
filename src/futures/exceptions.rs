//! What is there for futures of what can fail.

use super::Future;
use crate::errors::{InvalidStateError, ResultError};

impl<U: 'static, E: 'static> Future<Result<U, E>> {
    /// Completes the future with an error.
    ///
    /// *From asyncio:* `Future.set_exception()`. Differences: same as `set_result(Err(error))`.
    ///
    /// # Errors
    ///
    /// As for [`set_result`](Self::set_result); the error comes back.
    ///
    /// # Panics
    ///
    /// As for [`set_result`](Self::set_result).
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let future = event_loop.create_future::<Result<u32, &str>>();
    /// future.set_exception("no such host")?;
    /// assert_eq!(event_loop.run_until_complete(&future)?, Err("no such host"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn set_exception(&self, error: E) -> Result<(), InvalidStateError<E>> {
        self.set_result(Err(error)).map_err(|refused| {
            refused.map(|value| match value {
                Err(error) => error,
                Ok(_) => unreachable!("it comes back as it was given"),
            })
        })
    }

    /// Gives a clone of the error, `None` if there is a result instead.
    ///
    /// *From asyncio:* `Future.exception()`.
    ///
    /// # Errors
    ///
    /// Those of [`result`](Self::result).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<Result<u32, String>>();
    /// future.set_exception("no such host".to_owned())?;
    /// assert_eq!(future.exception()?, Some("no such host".to_owned()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exception(&self) -> Result<Option<E>, ResultError>
    where
        E: Clone,
    {
        self.with_result(|outcome| match outcome {
            Ok(result) => Ok(result.as_ref().err().cloned()),
            Err(error) => Err(error.clone()),
        })
    }
}
