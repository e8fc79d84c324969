//! Stripe's events: what each means for the ledger and which runs it starts.
//!
//! Parsing is lenient: only what is needed is read, an expandable field may be an id or an object, and a signed event
//! is never refused for a field that is not needed (docs.stripe.com/webhooks).

use bytes::Bytes;
use serde_json::{Value, json};

use crate::ingress::{Meaning, Rejected, Told, envelope, text};
use crate::model::event::{Source, Via};
use crate::model::money::Money;
use crate::store::change::{Change, NewRun, PaymentKey, Plan};

mod connect;
mod life;
mod session;

/// The workflow that carries a paid checkout to its end.
pub use crate::store::change::CHECKOUT_WORKFLOW;
/// The workflow that tells a customer that a delayed payment did not arrive.
pub const PAYMENT_FAILED_WORKFLOW: &str = "payment-failed";
/// The workflow that tells a customer of a refund that was made at Stripe.
pub const TELL_OF_REFUND_WORKFLOW: &str = "tell-of-refund";
/// The run that does so, once for each refund.
pub fn tell_of_refund(id: &str) -> Change {
    Change::Start(NewRun::with_input(TELL_OF_REFUND_WORKFLOW, id, json!({ "refund": id })))
}

/// The workflow that reads from Stripe what was refunded.
pub const READ_REFUNDS_WORKFLOW: &str = "read-refunds";
/// The workflow that counts a mentor's payout.
pub const PAYOUT_COMPLETED_WORKFLOW: &str = "payout-completed";
/// The workflow that tells a mentor of a payout that did not arrive.
pub const PAYOUT_FAILED_WORKFLOW: &str = "payout-failed";

/// Every type with consequences here: what a webhook endpoint should be sent, and what is fetched.
pub const TYPES: [&str; 17] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refund.updated",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "transfer.created",
    "transfer.updated",
    "transfer.reversed",
];

/// What `body` means, of the platform's own endpoint. `live` is the mode of this deployment: an event of the other mode
/// is kept and never acted on.
pub fn plan(body: Bytes, via: Via, live: bool) -> Result<Plan, Rejected> {
    envelope::read(Source::Stripe, body, via, live, |told| match told.kind {
        kind if kind.starts_with("checkout.session.") => session::meaning(told),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => life::refund(told),
        "charge.refunded" => life::charge_refunded(told),
        kind if kind.starts_with("charge.dispute.") => life::dispute(told),
        "transfer.created" | "transfer.updated" | "transfer.reversed" => life::transfer(told),
        kind if kind.starts_with("payment_intent.") => payment_intent(told),
        _ => Meaning::none("a type without consequences here"),
    })
}

/// What `body` means, of the endpoint for events of connected accounts.
pub fn plan_connect(body: Bytes, via: Via, live: bool) -> Result<Plan, Rejected> {
    envelope::read(Source::StripeConnect, body, via, live, connect::meaning)
}

/// Shown with its payment; what follows is told by the session.
fn payment_intent(told: &Told<'_>) -> Meaning {
    let mut meaning = Meaning::none("the checkout session tells what follows");
    if let Some(id) = text(&told.pick(&["id"]), "id") {
        meaning.changes.push(Change::About(PaymentKey::Intent(id.to_owned())));
    }
    meaning
}

/// An id, or an object that has one.
fn expandable(value: &Value) -> Option<String> {
    value.as_str().or_else(|| text(value, "id")).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// `amount` and `currency` of an object.
fn amount(object: &Value) -> Option<Money> {
    let minor = object["amount"].as_i64().filter(|minor| *minor > 0)?;
    Some(Money::new(minor, text(object, "currency")?.parse().ok()?))
}
