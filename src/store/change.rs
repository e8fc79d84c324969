//! What one transaction is to do to the ledger, as values: planned by pure code, applied by the store.

use bytes::Bytes;

use crate::model::account::Account;
use crate::model::booking::NewBooking;
use crate::model::capture::Capture;
use crate::model::case::NewCase;
use crate::model::checkout::Checkout;
use crate::model::dispute::Dispute;
use crate::model::event::{Disposition, Headers, Source, Via};
use crate::model::failure::Failure;
use crate::model::id::{AlertId, CaseId, MailId, RefundId, TransferId};
use crate::model::mail::NewMail;
use crate::model::money::Money;
use crate::model::payment::PaymentFact;
use crate::model::refund::RefundFact;
use crate::model::time::Timestamp;

/// Everything one arrival causes, applied in one transaction or not at all.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The row that is kept.
    pub event: NewEvent,
    /// What follows from it, in order; what names its payment comes first. Applying it again changes nothing.
    pub changes: Vec<Change>,
}

/// An arrival to be kept.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Who sent it.
    pub source: Source,
    /// The sender's id.
    pub external_id: String,
    /// The sender's type.
    pub kind: String,
    /// Whether the sender calls it live.
    pub livemode: bool,
    /// When the sender made it.
    pub created_at: Timestamp,
    /// How it came.
    pub via: Via,
    /// What is made of it.
    pub disposition: Disposition,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// Headers of the request it came with, those that are no secret.
    pub headers: Option<Headers>,
    /// The raw bytes.
    pub body: Bytes,
    /// Their SHA-256, by which a different body under the same id is noticed.
    pub body_sha256: [u8; 32],
}

/// One change. Within one transaction the payment of [`Change::Payment`] or [`Change::About`] (or the run's own) is the
/// subject of those after it.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a plan holds a handful, for as long as it takes to apply it")]
pub enum Change {
    /// A checkout session is known; makes its payment or adds what is new to it.
    Payment(Box<NewPayment>),
    /// The payment that is known by this is the subject. If there is none, the changes after it are left out, and the
    /// event waits: once the payment is known, its plan is applied again.
    About(PaymentKey),
    /// The same, but the changes after it hold without a payment too.
    Link(PaymentKey),
    /// Something was learnt about the subject. What contradicts its status opens a case instead.
    Learn(PaymentFact),
    /// A run is to exist for the subject or for itself. An existing one is left alone.
    Start(NewRun),
    /// Unfinished runs of this workflow for the subject are to end at their next step boundary.
    Cancel {
        /// The workflow's name.
        workflow: &'static str,
    },
    /// A case is to be open, and a person told. An existing one is left alone, but for one that is closed where a run finds that there is
    /// cause for it again.
    OpenCase(NewCase),
    /// The case of this cause has settled itself.
    CloseCase {
        /// What caused it.
        cause: String,
        /// How it was settled.
        resolution: String,
    },
    /// A person was told of a case.
    CaseAlerted(CaseId),
    /// Cal.com says this about a booking of the subject.
    Booking(NewBooking),
    /// Cal.com says who came to a booking. An older word changes nothing.
    Absence {
        /// Which booking.
        uid: String,
        /// Whether the host did not come, if that is said.
        host: Option<bool>,
        /// Whether an attendee did not come, if that is said.
        attendee: Option<bool>,
        /// When it was said.
        at: Timestamp,
    },
    /// Stripe says this about a dispute of the subject. An older word changes nothing.
    Dispute(Dispute),
    /// Stripe says this about a mentor's account. An older word changes nothing.
    Account(Account),
    /// A mentor's account is no longer connected.
    AccountGone {
        /// `acct_…`
        id: String,
        /// When Stripe said so.
        as_of: Timestamp,
    },
    /// A transfer's request is fixed and about to leave. `renew` starts a new generation, with a key of its own.
    TransferSent {
        /// Which.
        transfer: TransferId,
        /// The body, sent the same on every try of the generation.
        request: String,
        /// Whether the generation before it is spent.
        renew: bool,
    },
    /// A mentor's share of the subject is at Stripe: made by us, with the charge, or by hand.
    TransferSeen {
        /// `tr_…`
        stripe_transfer_id: String,
        /// Our mark, if it carries one.
        reference: Option<String>,
        /// How much.
        amount: Money,
        /// What was taken back since, in minor units.
        reversed: i64,
        /// `acct_…`
        destination: String,
    },
    /// A transfer that we wanted will not be made.
    TransferFailed(TransferId),
    /// A source is known to be complete up to a time.
    Complete {
        /// `stripe` or `cal`.
        source: Source,
        /// Until when.
        until: Timestamp,
    },
    /// An e-mail is to be sent. An existing one is left alone.
    Mail(NewMail),
    /// A mail server took an e-mail.
    MailSent {
        /// Which.
        mail: MailId,
        /// The provider's id.
        provider_id: Option<String>,
    },
    /// A person was told of these.
    AlertsTold(Vec<AlertId>),
    /// Nobody could be told of these.
    AlertsUntold {
        /// Which.
        alerts: Vec<AlertId>,
        /// Why, by the ways that were tried.
        failure: String,
    },
    /// An e-mail is given up.
    MailFailed(MailId),
    /// A refund's request is fixed and about to leave. `renew` starts a new generation, with a key of its own.
    RefundSent {
        /// Which.
        refund: RefundId,
        /// The body, sent the same on every try of the generation.
        request: String,
        /// Whether the generation before it is spent.
        renew: bool,
    },
    /// Something was learnt about a refund. The subject's status follows from the sum of its refunds.
    RefundLearned {
        /// Which.
        refund: RefundId,
        /// What.
        fact: RefundFact,
        /// Stripe's id, once there is one.
        stripe_refund_id: Option<String>,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// A refund that Stripe has and we had not recorded.
    RefundAdopted {
        /// Stripe's id.
        stripe_refund_id: String,
        /// Our mark, if it carries one.
        reference: Option<String>,
        /// How much.
        amount: Money,
        /// Where it stands.
        fact: RefundFact,
    },
}

/// What a payment is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentKey {
    /// Stripe's session, `cs_…`.
    Session(String),
    /// Stripe's payment intent, `pi_…`.
    Intent(String),
    /// Either of the two: what a booking carries.
    Reference(String),
}

impl PaymentKey {
    /// The id, whichever it is.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Session(id) | Self::Intent(id) | Self::Reference(id) => id,
        }
    }
}

/// A checkout session to be known.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// Stripe's session.
    pub session_id: String,
    /// Stripe's payment intent.
    pub payment_intent: Option<String>,
    /// What the session came to.
    pub amount: Money,
    /// Whether it is real money.
    pub livemode: bool,
    /// Where to write to the customer, as Stripe knows it.
    pub customer_email: Option<String>,
    /// What is asked for; none if the metadata cannot be used.
    pub checkout: Option<Checkout>,
    /// What the arrival says about it.
    pub fact: PaymentFact,
}

/// What a run is about: one run for each workflow and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunKey {
    /// The subject payment; its checkout is the input.
    Subject,
    /// Anything else, by a name that stays the same when the change is applied again.
    Text(String),
}

/// A run to be started.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The workflow's name.
    pub workflow: &'static str,
    /// What it is about.
    pub key: RunKey,
    /// Its input as JSON; none where it is the subject's checkout.
    pub input: Option<serde_json::Value>,
    /// When it may first be claimed; none for at once.
    pub due_at: Option<Timestamp>,
}

/// The workflow that carries a paid checkout to its end.
pub const CHECKOUT_WORKFLOW: &str = "process-checkout-side-effects";

/// The workflow that pays a payment back on purpose.
pub const REFUND_WORKFLOW: &str = "refund-payment";

/// The workflow that compares a session with the payment that it is found to be of.
pub const COMPARE_WORKFLOW: &str = "compare-booking";

/// The workflow that settles a session to which the mentor did not come.
pub const HOST_NO_SHOW_WORKFLOW: &str = "host-no-show";

/// While a run of these is under way, it may yet be found that the money goes back: a session is said to be missed before that is
/// settled.
pub const SETTLING: [&str; 3] = [HOST_NO_SHOW_WORKFLOW, COMPARE_WORKFLOW, REFUND_WORKFLOW];

/// The workflow that looks for a session that turns up after its payment was given up.
pub const SETTLE_WORKFLOW: &str = "settle-check";

/// The workflow that moves the mentor's share.
pub const TRANSFER_WORKFLOW: &str = "transfer-to-mentor";

/// The workflow that sends a capture.
pub const TRACK_WORKFLOW: &str = "track-event";

impl NewRun {
    /// A run of `workflow` on the subject's checkout, at once.
    pub const fn on_subject(workflow: &'static str) -> Self {
        Self { workflow, key: RunKey::Subject, input: None, due_at: None }
    }

    /// A run that sends `capture` to be counted, once for ever.
    pub fn capture(capture: &Capture) -> Self {
        let input = serde_json::json!({
            "event": capture.event, "distinct_id": capture.distinct_id, "uuid": capture.uuid,
            "timestamp": capture.timestamp, "properties": capture.properties,
        });
        Self::with_input(TRACK_WORKFLOW, format!("track/{}", capture.uuid), input)
    }

    /// A run of `workflow` on an input of its own, at once.
    pub fn with_input(workflow: &'static str, key: impl Into<String>, input: serde_json::Value) -> Self {
        Self { workflow, key: RunKey::Text(key.into()), input: Some(input), due_at: None }
    }
}

/// A mentor's share that is to be moved.
#[derive(Debug, Clone)]
pub struct TransferIntent {
    /// Whose money it is.
    pub payment: crate::model::id::PaymentId,
    /// How much.
    pub amount: Money,
    /// `acct_…`
    pub destination: String,
}

/// What a refund is wanted for.
#[derive(Debug, Clone)]
pub struct RefundIntent {
    /// The payment it is for.
    pub payment: crate::model::id::PaymentId,
    /// How much; none for all that is left.
    pub amount: Option<Money>,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub origin: crate::model::refund::RefundOrigin,
    /// How many automatic refunds an hour are let through.
    pub ceiling: u32,
}
