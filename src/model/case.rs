//! Cases: what only a person can settle, with the money at risk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::{CaseId, EventId, PaymentId, RunId};
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// What a case is about.
    CaseKind, "case kind" {
        /// A paid session whose metadata or payment intent cannot be used.
        UnusableCheckout => "unusable_checkout",
        /// The session could neither be booked nor certainly not booked.
        BookingUnclear => "booking_unclear",
        /// The session was not booked and the money could not be paid back.
        RefundFailed => "refund_failed",
        /// The customer has money back of which the mentor still has the share.
        TransferNotReversed => "transfer_not_reversed",
        /// A live booking exists for a payment that was paid back.
        BookingAfterRefund => "booking_after_refund",
        /// A run was cancelled while money was taken and not accounted for.
        RunCancelled => "run_cancelled",
        /// A run ended by a failure, or keeps ending its executors.
        RunFailed => "run_failed",
        /// A paid session was called off, and the policy leaves it to a person.
        SessionCancelled => "session_cancelled",
        /// The mentor did not come, and the policy leaves it to a person.
        HostNoShow => "host_no_show",
        /// A second booking turned up for a payment that has one.
        SecondBooking => "second_booking",
        /// A customer's bank asks for money back.
        Disputed => "disputed",
        /// A mentor's share could not be moved.
        TransferBlocked => "transfer_blocked",
        /// A mentor's payout did not arrive.
        PayoutFailed => "payout_failed",
        /// The books do not add up: found by comparing.
        Unaccounted => "unaccounted",
        /// What was learnt contradicts what was known.
        Contradiction => "contradiction",
    }
}

impl CaseKind {
    /// Whether it is about the mentor's money alone: it says nothing of where the customer's is.
    pub const fn is_about_share(self) -> bool {
        matches!(self, Self::TransferBlocked | Self::TransferNotReversed | Self::PayoutFailed)
    }
}

words! {
    /// Whether somebody still has to act.
    CaseStatus, "case status" {
        /// Waits for a person.
        Open => "open",
        /// Settled, with a reason.
        Closed => "closed",
    }
}

words! {
    /// How a person settled a case.
    Resolution, "resolution" {
        /// The customer has the whole amount back. Held against the books.
        Refunded => "refunded",
        /// A live session stands for the payment. Held against the books.
        Booked => "booked",
        /// It was settled outside of what the books show: by bank transfer, in a talk.
        SettledElsewhere => "settled_elsewhere",
        /// There was nothing to settle.
        FalseAlarm => "false_alarm",
    }
}

impl Resolution {
    /// Whether the books show it, so that it needs no reason.
    pub const fn is_in_the_books(self) -> bool {
        matches!(self, Self::Refunded | Self::Booked)
    }

    /// Whether `text` is what a case is closed with that is settled like this, with or without a reason.
    pub fn is_said_in(self, text: &str) -> bool {
        text.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// What opens a case. Opening it twice for one cause changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// What it is about.
    pub kind: CaseKind,
    /// What caused it, in terms of the providers' ids: one case for each cause.
    pub cause: String,
    /// One sentence: what happened, and what state the money is in.
    pub summary: String,
    /// What was seen: codes, ids, the last error. No names or addresses.
    pub detail: String,
    /// What could be lost.
    pub at_risk: Option<Money>,
}

/// A case as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// Our id.
    pub id: CaseId,
    /// What it is about.
    pub kind: CaseKind,
    /// Whether somebody still has to act.
    pub status: CaseStatus,
    /// What caused it.
    pub cause: String,
    /// What happened, and what state the money is in.
    pub summary: String,
    /// What was seen.
    pub detail: String,
    /// What could be lost.
    pub at_risk: Option<Money>,
    /// The payment it is about.
    pub payment: Option<PaymentId>,
    /// The run it came from.
    pub run: Option<RunId>,
    /// The event it came from.
    pub event: Option<EventId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When a person was told, by e-mail or the alert webhook.
    pub alerted_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// How it was settled.
    pub resolution: Option<String>,
}

/// Whether a person has said of a payment that its session takes place, or took place, all the same. Of what they have settled the newest
/// case decides, by its number: clocks differ.
pub fn is_let_stand(cases: &[Case]) -> bool {
    let settled = |case: &&Case| {
        let words = [Resolution::Refunded, Resolution::Booked, Resolution::SettledElsewhere];
        case.is_about_customer()
            && case.kind != CaseKind::Disputed
            && words.iter().any(|word| case.is_settled_as(*word))
    };
    let last = cases.iter().filter(settled).max_by_key(|case| case.id);
    last.is_some_and(|case| case.is_settled_as(Resolution::Booked))
}

impl Case {
    /// Whether the customer's money hangs on it.
    pub fn is_about_customer(&self) -> bool {
        self.at_risk.is_some() && !self.kind.is_about_share()
    }

    /// Whether a person has still to decide about the customer's money. A dispute is weighed for itself.
    pub fn is_undecided(&self) -> bool {
        self.is_about_customer() && self.status == CaseStatus::Open && self.kind != CaseKind::Disputed
    }

    /// Whether it is about a run on which no money hangs.
    pub const fn is_beside_the_money(&self) -> bool {
        self.at_risk.is_none() && matches!(self.kind, CaseKind::RunFailed | CaseKind::RunCancelled)
    }

    /// Whether a person settled it like this.
    pub fn is_settled_as(&self, how: Resolution) -> bool {
        self.resolution.as_deref().is_some_and(|text| how.is_said_in(text))
    }
}
