//! A future that is completed by hand, by a user or by what is built on it.

use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;

use super::core::{AnyFuture, AnyRef, FutureCore, FutureRef, Inner, Shared, as_shared};
use super::purpose::{Nature, NoPurpose, Purpose};
use crate::cancellation::CancelledError;
use crate::event_loop::{LoopState, pin_in_place};

/// A future that is completed by hand.
pub(crate) struct Promise<T: 'static, P: Purpose = NoPurpose> {
    shared: Shared<T>,
    purpose: P,
}

/// Nothing in it is ever pinned: the result is moved in and out.
impl<T, P: Purpose> Unpin for Promise<T, P> {}

impl<T: 'static> Promise<T> {
    pub(crate) fn create(lp: &Rc<LoopState>, site: &'static Location<'static>) -> FutureRef<T> {
        Promise::create_for(NoPurpose, lp, site)
    }
}

impl<T: 'static, P: Purpose> Promise<T, P> {
    #[inline]
    pub(crate) fn create_for(
        purpose: P,
        lp: &Rc<LoopState>,
        site: &'static Location<'static>,
    ) -> FutureRef<T> {
        pin_in_place(|| Self {
            shared: Shared::new(lp.clone(), site),
            purpose,
        })
    }
}

impl<T: 'static, P: Purpose> AnyFuture for Promise<T, P> {
    as_shared!(T);

    fn nature(&self) -> Nature {
        self.purpose.nature()
    }

    fn inside(&self) -> Vec<AnyRef> {
        self.purpose.inside()
    }

    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool {
        let me: FutureRef<T> = self;
        let shared = me.shared();
        if !shared.is_pending() {
            // As in asyncio, an attempt to cancel counts as a look.
            shared.base.observed.set(true);
            return false;
        }
        shared.finish(&me, || Inner::Cancelled(why));
        true
    }

    fn accepts_cancel(&self) -> bool {
        self.shared.is_pending()
    }
}

impl<T: 'static, P: Purpose> FutureCore<T> for Promise<T, P> {
    fn shared(&self) -> &Shared<T> {
        &self.shared
    }
}
