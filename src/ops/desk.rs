//! The operator's desk: what the dashboard and the API order, by the same verbs as the command line.

use crate::clock::Clock;
use crate::ops::refund::{Plan, plan};
use crate::provider::stripe::Stripe;
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::order::{Deed, Order, Performed, RefundOrder};

/// Orders in somebody's name.
#[derive(Clone)]
pub struct Desk {
    store: Shared,
    /// Without its key nothing is known of the mentor's share, and nothing is paid back from here.
    stripe: Option<Stripe>,
    live: bool,
    clock: Clock,
}

impl Desk {
    /// A desk on `store`, for `live` money or not.
    pub const fn new(store: Shared, stripe: Option<Stripe>, live: bool, clock: Clock) -> Self {
        Self { store, stripe, live, clock }
    }

    /// Finds out what a refund would do. An order that is not allowed is an error that says why.
    pub async fn plan(&self, order: &RefundOrder) -> Result<Plan, Error> {
        let Some(stripe) = &self.stripe else {
            return Err(Error::Illegal(
                "this process has no STRIPE_SECRET_KEY: nothing can be paid back from it".into(),
            ));
        };
        plan(&self.store, stripe, order, self.live, self.clock.now()).await
    }

    /// Does what is ordered, with its row in the audit trail; a refund is held against its plan first.
    pub async fn order(&self, actor: &str, reason: Option<String>, deed: Deed) -> Result<Performed, Error> {
        if let Deed::Refund(refund) = &deed {
            self.plan(refund).await?;
        }
        let order = Order { actor: actor.to_owned(), reason, deed };
        self.store.operate(order, self.clock.now()).await
    }
}
