//! The books against Stripe and Cal.com, rule by rule. It only reads.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::model::booking::BookingStatus;
use crate::model::case::{Case, CaseKind, NewCase};
use crate::model::id::PaymentId;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentStatus};
use crate::model::refund::{self, RefundStatus};
use crate::model::run::Run;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferStatus;
use crate::provider::cal::{Cal, CalBooking};
use crate::provider::stripe::{PaymentIntent, Stripe};
use crate::provider::{self, Providers};
use crate::store::change::{SETTLE_WORKFLOW, TRANSFER_WORKFLOW};
use crate::store::filter::Filter;
use crate::store::{Shared, Story, Subject};

/// Payments read at once.
const PAGE: u32 = 200;
/// Around the sessions of the payments, for those that were moved.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(14 * 24 * 3600);
/// After this an unknown refund is no longer on its way.
const SETTLED_BY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Something that does not add up.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The rule that does not hold: `M1` to `M10`.
    pub rule: &'static str,
    /// What is so, in a word that stays the same.
    pub what: &'static str,
    /// About which payment.
    pub payment: PaymentId,
    /// Stripe's session.
    pub session_id: String,
    /// The money that hangs on it.
    pub at_stake: Money,
    /// In words.
    pub detail: String,
}

impl Finding {
    /// The case that tells a person of it.
    pub fn case(&self) -> NewCase {
        NewCase {
            kind: CaseKind::Unaccounted,
            cause: format!("unaccounted/{}/{}/{}", self.rule, self.what, self.session_id),
            summary: format!("{}: {}", self.rule, self.detail),
            detail: format!("{}: compare Stripe and Cal.com, then refund, book or close this", self.session_id),
            at_risk: Some(self.at_stake),
        }
    }
}

/// Why the comparison did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] crate::store::error::Error),
    /// A provider could not be read: all of why is in the text.
    #[error("{}", .0.failure.message)]
    Provider(provider::Error),
}

impl From<provider::Error> for Error {
    fn from(error: provider::Error) -> Self {
        Self::Provider(error)
    }
}

/// Compares every payment made since then. `seen` is called after each.
pub async fn reconcile(
    store: &Shared,
    providers: &Providers,
    since: Timestamp,
    live: bool,
    now: Timestamp,
    mut seen: impl FnMut(usize),
) -> Result<Vec<Finding>, Error> {
    let mut payments = Vec::new();
    let mut filter = Filter { since: Some(since), ..Filter::newest(PAGE) };
    loop {
        let page = store.payments(filter.clone()).await?;
        filter.before = page.last().map(|line| line.payment.id.0);
        payments.extend(page.into_iter().map(|line| line.payment));
        if filter.before.is_none() {
            break;
        }
    }
    let calendar = Calendar::read(&providers.cal, &payments).await?;
    let mut findings = Vec::new();
    for (count, payment) in payments.iter().rev().enumerate() {
        let story = store.story(Subject::Payment(payment.id)).await?;
        let mut one = Comparison { payment, story: &story, findings: &mut findings };
        one.books(live, now);
        one.calendar(&calendar, &providers.cal).await?;
        one.money(&providers.stripe).await?;
        seen(count + 1);
    }
    Ok(findings)
}

/// What Cal.com has, by the payment that it was booked for.
struct Calendar {
    live: BTreeMap<String, Vec<String>>,
    status: BTreeMap<String, String>,
}

impl Calendar {
    async fn read(cal: &Cal, payments: &[Payment]) -> Result<Self, Error> {
        let mut all = Self { live: BTreeMap::new(), status: BTreeMap::new() };
        let starts = || payments.iter().filter_map(|payment| payment.checkout.as_ref()).map(|order| order.start);
        let (Some(first), Some(last)) = (starts().min(), starts().max()) else { return Ok(all) };
        let mut skip = 0;
        loop {
            let page = cal.bookings_between(first.minus(MARGIN), last.plus(MARGIN), skip).await?;
            skip += page.bookings.len();
            page.bookings.iter().for_each(|booking| all.add(booking));
            if !page.more {
                return Ok(all);
            }
        }
    }

    fn add(&mut self, booking: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (uid, status) = (text(&booking["uid"]), text(&booking["status"]));
        let payment = text(&booking["metadata"]["paymentId"]);
        if is_live(&status) && !payment.is_empty() {
            self.live.entry(payment).or_default().push(uid.clone());
        }
        self.status.insert(uid, status);
    }
}

fn is_live(status: &str) -> bool {
    matches!(status, "accepted" | "pending")
}

/// One payment, held against everything.
struct Comparison<'a> {
    payment: &'a Payment,
    story: &'a Story,
    findings: &'a mut Vec<Finding>,
}

impl Comparison<'_> {
    fn find(&mut self, rule: &'static str, what: &'static str, detail: String) {
        self.findings.push(Finding {
            rule,
            what,
            payment: self.payment.id,
            session_id: self.payment.session_id.clone(),
            at_stake: self.payment.amount,
            detail,
        });
    }

    fn is_known_to_a_person(&self) -> bool {
        self.story.cases.iter().any(|case| case.closed_at.is_none() && !case.is_beside_the_money())
    }

    /// Whether a person has been told that the mentor still has the share. Other cases say nothing of it.
    fn is_share_known(&self) -> bool {
        let told = |case: &Case| case.kind == CaseKind::TransferNotReversed && case.closed_at.is_none();
        self.story.cases.iter().any(told)
    }

    /// One that waits to move the share, or only looks whether a session turns up, settles nothing.
    fn is_at_work(&self) -> bool {
        let settles = |run: &Run| ![TRANSFER_WORKFLOW, SETTLE_WORKFLOW].contains(&run.workflow.as_str());
        self.story.runs.iter().any(|(run, _)| !run.state.is_terminal() && settles(run))
    }

    /// What our own books say of themselves.
    fn books(&mut self, live: bool, now: Timestamp) {
        let (amount, status) = (self.payment.amount, self.payment.status);
        if self.payment.livemode != live {
            self.find("M10", "wrong_mode", format!("{amount} is of the other mode than the keys"));
        }
        if status == PaymentStatus::Paid && self.story.runs.is_empty() {
            self.find("M1", "nothing_started", format!("{amount} is taken and no run was ever started"));
        } else if status == PaymentStatus::Paid && !self.is_at_work() && !self.is_known_to_a_person() {
            self.find("M2", "abandoned", format!("{amount} is {status}, nobody is at work on it and no case is open"));
        }
        if status == PaymentStatus::Attention && self.story.cases.is_empty() {
            self.find("M2", "no_case", format!("{amount} needs a person and no case says so"));
        }
        let late = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) > SETTLED_BY);
        let sent = |refund: &&refund::Refund| refund.status == RefundStatus::Sent && late(refund.sent_at);
        if let Some(refund) = self.story.refunds.iter().find(sent) {
            let (id, amount) = (refund.id, refund.amount);
            self.find("M4", "refund_unknown", format!("nobody knows whether {id} of {amount} was made"));
        }
        let back = status.is_paid_back();
        let moved = |transfer: &&crate::model::transfer::Transfer| {
            transfer.status == TransferStatus::Made && transfer.reversed < transfer.amount.minor
        };
        if let Some(transfer) = self.story.transfers.iter().filter(|_| back && !self.is_share_known()).find(moved) {
            let (id, share) = (transfer.id, transfer.amount);
            self.find("M9", "share_not_taken_back", format!("it was refunded and the mentor has {share} ({id})"));
        }
    }

    async fn calendar(&mut self, calendar: &Calendar, cal: &Cal) -> Result<(), Error> {
        let reference = self.payment.reference();
        let mut live: Vec<String> = calendar.live.get(reference).cloned().unwrap_or_default();
        for booking in self.story.bookings.iter().filter(|booking| booking.facts.status.is_live()) {
            let uid = &booking.facts.uid;
            let stands = match calendar.status.get(uid) {
                Some(status) => is_live(status),
                None => cal.booking::<CalBooking>(uid).await?.is_some_and(|booking| is_live(&booking.status)),
            };
            if stands && !live.contains(uid) {
                live.push(uid.clone());
            }
        }
        let (amount, known) = (self.payment.amount, self.is_known_to_a_person());
        let over = self.story.bookings.iter().any(|booking| booking.facts.status == BookingStatus::Completed);
        match self.payment.status {
            PaymentStatus::Booked if live.is_empty() && !over && !known => {
                self.find("M2", "nothing_stands", format!("{amount} is taken and no session stands at Cal.com"));
            }
            PaymentStatus::Refunded if !live.is_empty() && !known => {
                self.find(
                    "M5",
                    "still_stands",
                    format!("{amount} was refunded and {} stands at Cal.com", live.join(", ")),
                );
            }
            PaymentStatus::Awaiting | PaymentStatus::Failed | PaymentStatus::Expired if !live.is_empty() => {
                self.find(
                    "M7",
                    "booked_unpaid",
                    format!("nothing was taken and {} stands at Cal.com", live.join(", ")),
                );
            }
            _ if live.len() > 1 => {
                self.find("M2", "booked_twice", format!("{} stand at Cal.com for one payment", live.join(", ")));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether each refund took the mentor's share and the platform's fee back as the charge has them.
    fn flags(&mut self, intent: &PaymentIntent) {
        let fee = intent.application_fee_amount.is_some_and(|fee| fee > 0);
        let charge = [("reverse_transfer=true", intent.transfer_data.is_some()), ("refund_application_fee=true", fee)];
        let made = self.story.refunds.iter().filter(|refund| refund.status.holds_money());
        let differs = |request: &str| charge.iter().any(|(flag, needed)| request.contains(flag) != *needed);
        let mut other = made.filter(|refund| refund.request.as_deref().is_some_and(differs)).map(|refund| refund.id);
        if let Some(id) = other.next_back() {
            self.find(
                "M6",
                "flags_differ",
                format!("{id} does not take back the share and the fee as the charge has them"),
            );
        }
    }

    async fn money(&mut self, stripe: &Stripe) -> Result<(), Error> {
        let Some(intent) = &self.payment.payment_intent else { return Ok(()) };
        let read = match stripe.payment_intent(intent).await {
            Ok(read) => read,
            Err(error) if error.failure.status == Some(404) => {
                self.find(
                    "M3",
                    "not_at_stripe",
                    format!("Stripe knows nothing of {intent}: are the keys another account's?"),
                );
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.flags(&read);
        let currency = self.payment.amount.currency;
        let back = read.charge.as_ref().map_or(0, |charge| charge.amount_refunded);
        let ours = refund::accepted(&self.story.refunds);
        if back != ours {
            let (back, ours) = (Money::new(back, currency), Money::new(ours, currency));
            self.find("M3", "refunds_differ", format!("Stripe has paid back {back} and the books say {ours}"));
        }
        if back == 0 && ours == 0 {
            return Ok(());
        }
        let theirs = stripe.refunds_of(intent).await?;
        let late: Vec<&str> = self
            .story
            .refunds
            .iter()
            .filter(|refund| refund.status.is_accepted())
            .filter_map(|refund| refund.stripe_refund_id.as_deref())
            .filter(|id| theirs.iter().any(|refund| refund.id == *id && refund.status.as_deref() == Some("failed")))
            .collect();
        if !late.is_empty() && !self.is_known_to_a_person() {
            self.find("M8", "refund_failed_unseen", format!("Stripe says that {} failed", late.join(", ")));
        }
        Ok(())
    }
}
