//! The durable boundary. Every verb is one transaction: when it returns `Ok`, its effect is on disk (the commit is
//! synced); when it returns an error, nothing was written unless the error says that it is unknown.
//!
//! Verbs take and return values of the model; no transaction, row or SQL leaves this module, so that a file and a
//! server stand behind the same traits. Time comes in as an argument.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::account::Account;
use crate::model::act::Act;
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::dispute::Dispute;
use crate::model::event::{Event, Source};
use crate::model::id::{ActId, CaseId, EventId, MailId, PaymentId, RefundId, RunId, TransferId};
use crate::model::lease::Lease;
use crate::model::mail::Mail;
use crate::model::money::Money;
use crate::model::pause::Pause;
use crate::model::payment::Payment;
use crate::model::refund::Refund;
use crate::model::run::{End, Run};
use crate::model::step::Attempt;
use crate::model::takings::Summary;
use crate::model::time::Timestamp;
use crate::model::transfer::Transfer;
use crate::model::words;
use crate::store::alerts::Alerts;
use crate::store::change::{Change, NewRun, Plan, RefundIntent, TransferIntent};
use crate::store::error::Error;
use crate::store::filter::{Filter, PaymentLine, RunLine};
use crate::store::hours::{Counted, Hours};
use crate::store::levels::Levels;
use crate::store::order::{Order, Performed};
use crate::store::status::Status;

pub mod alerts;
pub mod change;
pub mod error;
pub mod filter;
pub mod hours;
pub mod levels;
pub mod order;
pub mod place;
pub mod postgres;
pub mod sql;
pub mod sqlite;
pub mod status;

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// It is kept, with all that it starts.
    New {
        /// Its row.
        event: EventId,
        /// The payment it is about.
        payment: Option<PaymentId>,
        /// Whether that payment was new.
        payment_created: bool,
    },
    /// It was kept before; what it starts is there.
    Duplicate {
        /// The row of the first arrival.
        event: EventId,
        /// Whether the bodies differ. Then the first is kept and the second has no effect.
        differs: bool,
    },
}

impl Ingested {
    /// The row, and whether it is new.
    pub const fn told(&self) -> (EventId, bool) {
        match self {
            Self::New { event, .. } => (*event, true),
            Self::Duplicate { event, .. } => (*event, false),
        }
    }
}

/// A run together with the right to move it.
#[derive(Debug)]
pub struct Claimed {
    /// The right.
    pub lease: Lease,
    /// The run.
    pub run: Run,
    /// Its input.
    pub input: Box<RawValue>,
    /// The tries recorded so far, in the order in which they ended.
    pub journal: Vec<Attempt>,
}

/// What an executor is told when it has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onward {
    /// Go on.
    Continue,
    /// Somebody wants the run to end here.
    CancelRequested,
}

/// What came in.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Keeps an arrival and applies its plan. A repeated arrival only makes sure that everything it starts exists.
    async fn ingest(&self, plan: Plan, now: Timestamp) -> Result<Ingested, Error>;
}

/// The runs.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Leases up to `want` runs that are due, the longest due first. Nobody else can finish them before `until`.
    async fn claim(&self, owner: &str, want: usize, now: Timestamp, until: Timestamp) -> Result<Vec<Claimed>, Error>;

    /// Leases this run unless somebody holds it: whoever asks for one run does not wait for its backoff.
    async fn claim_run(
        &self,
        owner: &str,
        run: RunId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claimed>, Error>;

    /// Extends these leases to `until`, and returns those that were lost.
    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<Vec<Lease>, Error>;

    /// Remembers a final attempt and applies `changes` with it.
    async fn record(
        &self,
        lease: Lease,
        attempt: Attempt,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Onward, Error>;

    /// Applies `changes` in the middle of a step, for what must be durable before a call leaves.
    async fn write(&self, lease: Lease, changes: Vec<Change>, now: Timestamp) -> Result<(), Error>;

    /// Gives the run back until `due_at`, with the attempt that made it necessary.
    async fn suspend(
        &self,
        lease: Lease,
        attempt: Option<Attempt>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Gives the run back until `due_at` as if it had not been claimed: nothing was tried.
    async fn put_back(&self, lease: Lease, due_at: Timestamp, now: Timestamp) -> Result<(), Error>;

    /// Ends the run.
    async fn finish(&self, lease: Lease, end: End, now: Timestamp) -> Result<(), Error>;

    /// Asks for a run to end at its next step boundary; one that nobody holds ends at once. Whether it has ended.
    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<bool, Error>;

    /// Makes sure that each of these workflows has a run to come: the given one is started where none is queued or being moved.
    async fn ensure(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<(), Error>;

    /// Takes away what was over before `before` and is no longer needed: the bytes of events, the tries of runs that
    /// ended well. Looks at the events and the runs whose numbers are the next `rows` after `after`, however many there are
    /// beside them. Payments, refunds, cases and everything by which a repetition is known stay for ever.
    async fn prune(&self, before: Timestamp, after: i64, rows: u32) -> Result<Pruned, Error>;

    /// How many rows [`prune`](Self::prune) would take away in all.
    async fn prunable(&self, before: Timestamp) -> Result<u32, Error>;

    /// The clock was set back by `step` and reads `now`: what waits for its next try waits no longer for that, what could
    /// have been taken can be taken, and no lease ends later than `lease_end`. How many runs were moved. What waits for a
    /// time of day waits for it; it may be looked at once before.
    async fn clock_set_back(&self, step: Duration, now: Timestamp, lease_end: Timestamp) -> Result<u64, Error>;

    /// What the clock read that was ahead of `now` when it last recorded anything of what still waits; none if it was not ahead.
    async fn recorded_ahead(&self, now: Timestamp) -> Result<Option<Timestamp>, Error>;

    /// When the next run is due; none if there is nothing to wait for.
    async fn next_due(&self) -> Result<Option<Timestamp>, Error>;

    /// Changes whenever runs may have become due, through this process at once, through others within 20 ms on a
    /// file and by `NOTIFY` on a server.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// Money, bookings, cases.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Records the wish to pay back, or returns the refund that already covers it. Refused past what was paid, and
    /// past the ceiling of automatic refunds. Nothing is asked of Stripe.
    async fn intend_refund(&self, lease: Option<Lease>, intent: RefundIntent, now: Timestamp) -> Result<Refund, Error>;

    /// Records the wish to move a mentor's share, or returns the transfer that is there. Refused for what is refunded
    /// or disputed. Nothing is asked of Stripe.
    async fn intend_transfer(&self, lease: Lease, intent: TransferIntent, now: Timestamp) -> Result<Transfer, Error>;

    /// A transfer.
    async fn transfer(&self, id: TransferId) -> Result<Transfer, Error>;

    /// A booking, by Cal.com's uid or number.
    async fn booking(&self, uid: &str) -> Result<Option<Booking>, Error>;

    /// A mentor's account, by Stripe's id.
    async fn account(&self, id: &str) -> Result<Option<Account>, Error>;

    /// Up to when a source is known to be complete.
    async fn complete_until(&self, source: Source) -> Result<Option<Timestamp>, Error>;

    /// A payment.
    async fn payment(&self, id: PaymentId) -> Result<Payment, Error>;

    /// A refund.
    async fn refund(&self, id: RefundId) -> Result<Refund, Error>;

    /// A run.
    async fn run(&self, id: RunId) -> Result<Run, Error>;

    /// An event.
    async fn event(&self, id: EventId) -> Result<Event, Error>;

    /// A case.
    async fn case(&self, id: CaseId) -> Result<Case, Error>;

    /// An e-mail.
    async fn mail(&self, id: MailId) -> Result<Mail, Error>;
}

/// What came of a look at what is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many rows were taken away.
    pub gone: u32,
    /// After which number to go on; none at the end.
    pub next: Option<i64>,
}

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A payment.
    Payment(PaymentId),
    /// A run without a payment.
    Run(RunId),
    /// An event without a payment.
    Event(EventId),
    /// A case without a payment.
    Case(CaseId),
    /// An e-mail without a payment.
    Mail(MailId),
}

/// Everything known about one subject.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Story {
    /// The payment, if it is about one.
    pub payment: Option<Payment>,
    /// What came in about it.
    pub events: Vec<Event>,
    /// The runs on it, with their tries.
    #[serde(serialize_with = "told")]
    #[schemars(with = "Vec<Told<'static>>")]
    pub runs: Vec<(Run, Vec<Attempt>)>,
    /// Its bookings.
    pub bookings: Vec<Booking>,
    /// Its refunds.
    pub refunds: Vec<Refund>,
    /// The mentor's share.
    pub transfers: Vec<Transfer>,
    /// What its customer's bank asked back.
    pub disputes: Vec<Dispute>,
    /// Its e-mails.
    pub mails: Vec<Mail>,
    /// Its cases.
    pub cases: Vec<Case>,
    /// What operators did about it.
    pub acts: Vec<Act>,
}

/// A run with its tries, in the order in which they ended.
#[derive(Serialize, JsonSchema)]
struct Told<'a> {
    run: &'a Run,
    attempts: &'a [Attempt],
}

fn told<S: Serializer>(runs: &[(Run, Vec<Attempt>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(runs.iter().map(|(run, attempts)| Told { run, attempts }))
}

words! {
    /// What is not as it should be.
    Unsettled, "discrepancy" {
        /// Paid, and no run is on it.
        Abandoned => "abandoned",
        /// Booked, and no session stands.
        NothingStands => "nothing_stands",
        /// Its session is over, and the mentor never confirmed it.
        Unconfirmed => "unconfirmed",
        /// Refunded, and the session is still to come.
        StillStands => "still_stands",
        /// A refund is under way, and nothing was heard of it for long.
        RefundUnknown => "refund_unknown",
        /// Stripe has accepted a refund and does not carry it out.
        RefundPending => "refund_pending",
        /// It was paid back, and nothing was taken back of a share that was not moved by us.
        ShareLeft => "share_left",
        /// The mentor gave back more of the share than the customer has back.
        ShareOwed => "share_owed",
    }
}

/// A payment that is not as it should be.
#[derive(Debug, Clone)]
pub struct Discrepancy {
    /// Which.
    pub payment: Payment,
    /// Why.
    pub what: Unsettled,
    /// How much of it: what is kept, or waits.
    pub amount: Money,
}

/// How many runs stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Backlog {
    /// Due and waiting to be claimed.
    pub due: u32,
    /// Asleep or backing off.
    pub waiting: u32,
    /// Being moved.
    pub running: u32,
    /// Ended by a failure.
    pub failed: u32,
    /// Open cases.
    pub open_cases: u32,
}

/// Questions of people.
#[async_trait]
pub trait Views: Send + Sync {
    /// What an id stands for: ours, a provider's, or an unambiguous beginning of one.
    async fn resolve(&self, id: &str) -> Result<Subject, Error>;

    /// The same for a whole id only: for what is not to be done to the wrong one.
    async fn resolve_whole(&self, id: &str) -> Result<Subject, Error>;

    /// Everything known about it.
    async fn story(&self, subject: Subject) -> Result<Story, Error>;

    /// An event's raw bytes.
    async fn body(&self, event: EventId) -> Result<Vec<u8>, Error>;

    /// Payments untouched since `since` that are not as they should be at rest, and of which no case tells yet.
    async fn discrepancies(&self, since: Timestamp, limit: u32) -> Result<Vec<Discrepancy>, Error>;

    /// What came of a span of time.
    async fn summary(&self, from: Timestamp, until: Timestamp) -> Result<Summary, Error>;

    /// How everything stands.
    async fn status(&self, now: Timestamp) -> Result<Status, Error>;

    /// How much there is of everything, for gauges.
    async fn levels(&self, now: Timestamp) -> Result<Levels, Error>;

    /// How much happened in each of the last hours.
    async fn hours(&self, counted: Counted, now: Timestamp) -> Result<Hours, Error>;

    /// How many runs stand where.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, Error>;
}

/// What operators do. Each deed and its row in the audit trail are one transaction.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Does what is ordered, or says that it was so already.
    async fn operate(&self, order: Order, now: Timestamp) -> Result<Performed, Error>;

    /// What [`operate`](Self::operate) would come to, or why it would be refused. Nothing is written.
    async fn rehearse(&self, order: Order, now: Timestamp) -> Result<Performed, Error>;

    /// What is paused.
    async fn pauses(&self) -> Result<Vec<Pause>, Error>;

    /// The first act that does not fit the one before it; none if the trail is whole.
    async fn broken_act(&self) -> Result<Option<ActId>, Error>;
}

/// Lists of rows, the newest first.
#[async_trait]
pub trait Lists: Send + Sync {
    /// Payments.
    async fn payments(&self, filter: Filter) -> Result<Vec<PaymentLine>, Error>;
    /// Refunds.
    async fn refunds(&self, filter: Filter) -> Result<Vec<Refund>, Error>;
    /// Bookings.
    async fn bookings(&self, filter: Filter) -> Result<Vec<Booking>, Error>;
    /// Runs.
    async fn runs(&self, filter: Filter) -> Result<Vec<RunLine>, Error>;
    /// Events.
    async fn events(&self, filter: Filter) -> Result<Vec<Event>, Error>;
    /// Cases.
    async fn cases(&self, filter: Filter) -> Result<Vec<Case>, Error>;
    /// What operators did.
    async fn acts(&self, filter: Filter) -> Result<Vec<Act>, Error>;
}

/// A whole store.
pub trait Store: Inbox + Queue + Ledger + Operations + Lists + Views + Alerts {
    /// Whether the store can be written, found out by writing.
    fn is_writable(&self) -> futures_util::future::BoxFuture<'_, Result<(), Error>>;
}

/// A store of any kind, shared.
pub type Shared = Arc<dyn Store>;

/// How long the verbs that wait together wait for other processes at most before they say [`Error::Busy`].
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
