//! The operator's desk: what the dashboard and the API order, by the same verbs as the command line.

use std::sync::Arc;

use tokio::task::JoinError;

use crate::clock::Clock;
use crate::model::id::{EventId, PaymentId, RunId};
use crate::model::run::Run;
use crate::ops::at_stripe::{AtStripe, at_stripe};
use crate::ops::batch::{Became, Many, each};
use crate::ops::refund::{Plan, plan};
use crate::ops::replay::{Replayed, Understanding, replay};
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
    understanding: Understanding,
    clock: Clock,
}

impl Desk {
    /// A desk on `store`.
    pub const fn new(store: Shared, stripe: Option<Stripe>, understanding: Understanding, clock: Clock) -> Self {
        Self { store, stripe, understanding, clock }
    }

    /// Finds out what a refund would do. An order that is not allowed is an error that says why.
    pub async fn plan(&self, order: &RefundOrder) -> Result<Plan, Error> {
        plan(&self.store, self.stripe()?, order, self.understanding.live, self.clock.now()).await
    }

    /// Has a stored event understood anew.
    pub async fn replay(&self, actor: &str, reason: Option<String>, event: EventId) -> Result<Replayed, Error> {
        replay(&self.store, &self.understanding, (actor, reason), event, self.clock.now()).await
    }

    /// What Stripe has of a payment at this moment.
    pub async fn at_stripe(&self, payment: PaymentId) -> Result<AtStripe, Error> {
        at_stripe(&self.store, self.stripe()?, payment).await
    }

    fn stripe(&self) -> Result<&Stripe, Error> {
        let without =
            "this process has no STRIPE_SECRET_KEY: nothing can be paid back from it, and stripe not be asked";
        self.stripe.as_ref().ok_or_else(|| Error::Illegal(without.to_owned()))
    }

    /// Does what is ordered, with its row in the audit trail; a refund is held against its plan first.
    pub async fn order(&self, actor: &str, reason: Option<String>, deed: Deed) -> Result<Performed, Error> {
        if let Deed::Refund(refund) = &deed {
            self.plan(refund).await?;
        }
        let order = order(actor, reason, deed)?;
        self.store.operate(order, self.clock.now()).await
    }

    /// Does the same to each of these runs, from the last to the first, and to the end even if nobody waits for it: to which, and what
    /// became of each.
    pub async fn order_each(
        &self,
        actor: String,
        reason: Option<String>,
        mut runs: Vec<Run>,
        many: Many,
    ) -> Result<Vec<(RunId, Became)>, JoinError> {
        let (store, clock) = (Arc::clone(&self.store), self.clock.clone());
        let work = async move {
            runs.reverse();
            let order = |run| Order { actor: actor.clone(), reason: reason.clone(), deed: many.deed(run) };
            let became = each((&store, &clock), &runs, None, order, || {}).await;
            runs.iter().map(|run| run.id).zip(became).collect()
        };
        tokio::spawn(work).await
    }

    /// What the same order would come to, or why it would be refused. Nothing is written.
    pub async fn rehearse(&self, actor: &str, reason: Option<String>, deed: Deed) -> Result<Performed, Error> {
        self.store.rehearse(order(actor, reason, deed)?, self.clock.now()).await
    }
}

fn order(actor: &str, reason: Option<String>, deed: Deed) -> Result<Order, Error> {
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    match deed {
        Deed::Resolve { resolution, .. } if reason.is_none() && !resolution.is_in_the_books() => {
            Err(Error::Illegal(format!("{resolution} needs a reason: the books do not show it")))
        }
        deed => Ok(Order { actor: actor.to_owned(), reason, deed }),
    }
}
