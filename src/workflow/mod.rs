//! The business, as plain async functions of named steps.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::registry::Registry;
use crate::provider::Providers;
use crate::store::Shared;

pub mod alert;
mod booking;
pub mod checkout;
pub mod email;
pub mod letter;
pub mod payment_failed;
mod refund;
pub mod settle;
pub mod track;

/// What workflows work with.
#[derive(Clone)]
pub struct Means {
    /// The store.
    pub store: Shared,
    /// The systems at the other end.
    pub providers: Providers,
    /// Where e-mails come from.
    pub mail_from: String,
    /// Who is told of cases.
    pub alert_email: Option<String>,
    /// How long after a refund a late booking is first looked for.
    pub settle_after: Duration,
    /// How many automatic refunds an hour are let through.
    pub refund_ceiling: u32,
}

/// Every workflow by name.
pub fn registry(means: &Arc<Means>) -> Registry {
    Registry::default()
        .with(checkout::ProcessCheckout(Arc::clone(means)))
        .with(settle::SettleCheck(Arc::clone(means)))
        .with(payment_failed::PaymentFailed)
        .with(alert::Alert(Arc::clone(means)))
        .with(email::SendEmail(Arc::clone(means)))
        .with(track::TrackEvent(Arc::clone(means)))
}
