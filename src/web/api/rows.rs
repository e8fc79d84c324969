//! What each list can be asked for, with the words of the command line's flags.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::act::{Act, Verb};
use crate::model::booking::{Booking, BookingStatus};
use crate::model::case::{Case, CaseKind, CaseStatus};
use crate::model::event::{Disposition, Event, Source};
use crate::model::id::{ActId, BookingId, CaseId, EventId, PaymentId, RefundId, RunId};
use crate::model::payment::PaymentStatus;
use crate::model::refund::{Refund, RefundOrigin, RefundStatus};
use crate::model::run::RunState;
use crate::model::time::Timestamp;
use crate::store::error::Error;
use crate::store::filter::{Filter, PaymentLine, RunLine};
use crate::store::{Shared, Story, Subject};
use crate::web::api::input::Words;
use crate::web::api::list::Row;

/// Which payments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Payments {
    /// Where they stand.
    status: Option<Words<PaymentStatus>>,
    /// A part of the customer's address; from a viewer the whole of it.
    customer: Option<String>,
    /// With a run of this workflow.
    workflow: Option<String>,
    /// With a run that was tried last at this step.
    step: Option<String>,
    /// With a part of a run's failure.
    error: Option<String>,
    /// Taken, not accounted for, and not moved for a quarter of an hour.
    #[serde(default)]
    stuck: bool,
}

impl Row for PaymentLine {
    const LIST: &'static str = "payments";
    type Id = PaymentId;
    type Wanted = Payments;

    fn id(&self) -> PaymentId {
        self.payment.id
    }

    fn made(&self) -> Timestamp {
        self.payment.created_at
    }

    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment.id)
    }

    fn narrow(filter: Filter, wanted: Payments, stuck: Timestamp) -> Filter {
        let Payments { status, customer, workflow, step, error, stuck: only } = wanted;
        Filter { status: Words::of(status), customer, workflow, step, error, stuck: only.then_some(stuck), ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.payments(filter).await
    }

    async fn known_as(store: &Shared, id: &str) -> Result<Option<PaymentId>, Error> {
        Ok(match store.resolve(id).await? {
            Subject::Payment(payment) => Some(payment),
            _ => None,
        })
    }
}

/// Which refunds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refunds {
    /// Where they stand.
    status: Option<Words<RefundStatus>>,
    /// Who wanted them.
    origin: Option<RefundOrigin>,
    /// A part of the customer's address; from a viewer the whole of it.
    customer: Option<String>,
    /// A part of the failure.
    error: Option<String>,
    /// Not settled for a quarter of an hour.
    #[serde(default)]
    stuck: bool,
}

impl Row for Refund {
    const LIST: &'static str = "refunds";
    type Id = RefundId;
    type Wanted = Refunds;

    fn id(&self) -> RefundId {
        self.id
    }

    fn made(&self) -> Timestamp {
        self.created_at
    }

    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    fn narrow(filter: Filter, wanted: Refunds, stuck: Timestamp) -> Filter {
        let Refunds { status, origin, customer, error, stuck: only } = wanted;
        let source = origin.map(|origin| origin.to_string());
        Filter { status: Words::of(status), source, customer, error, stuck: only.then_some(stuck), ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.refunds(filter).await
    }

    async fn known_as(store: &Shared, id: &str) -> Result<Option<RefundId>, Error> {
        let Story { refunds, .. } = store.story(store.resolve(id).await?).await?;
        let known = |refund: &Refund| refund.stripe_refund_id.as_deref().is_some_and(|known| known.starts_with(id));
        Ok(refunds.into_iter().find(known).map(|refund| refund.id))
    }
}

/// Which bookings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bookings {
    /// Where they stand.
    status: Option<Words<BookingStatus>>,
    /// A part of an attendee's or the host's address; from a viewer the whole of it.
    customer: Option<String>,
    /// Over for a quarter of an hour, and not said to be over.
    #[serde(default)]
    stuck: bool,
}

impl Row for Booking {
    const LIST: &'static str = "bookings";
    type Id = BookingId;
    type Wanted = Bookings;

    fn id(&self) -> BookingId {
        self.id
    }

    fn made(&self) -> Timestamp {
        self.created_at
    }

    fn payment(&self) -> Option<PaymentId> {
        self.payment
    }

    fn narrow(filter: Filter, wanted: Bookings, stuck: Timestamp) -> Filter {
        let Bookings { status, customer, stuck: only } = wanted;
        Filter { status: Words::of(status), customer, stuck: only.then_some(stuck), ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.bookings(filter).await
    }

    async fn known_as(store: &Shared, id: &str) -> Result<Option<BookingId>, Error> {
        Ok(store.booking(id).await?.map(|booking| booking.id))
    }
}

/// Which runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Runs {
    /// Where they stand.
    status: Option<Words<RunState>>,
    /// The workflow's name.
    workflow: Option<String>,
    /// The step that was tried last.
    step: Option<String>,
    /// A part of the failure.
    error: Option<String>,
    /// A part of the customer's address; from a viewer the whole of it.
    customer: Option<String>,
    /// Tried in vain, or due and not taken, for a quarter of an hour.
    #[serde(default)]
    stuck: bool,
}

impl Row for RunLine {
    const LIST: &'static str = "runs";
    type Id = RunId;
    type Wanted = Runs;

    fn id(&self) -> RunId {
        self.run.id
    }

    fn made(&self) -> Timestamp {
        self.run.created_at
    }

    fn payment(&self) -> Option<PaymentId> {
        self.run.payment
    }

    fn narrow(filter: Filter, wanted: Runs, stuck: Timestamp) -> Filter {
        let Runs { status, workflow, step, error, customer, stuck: only } = wanted;
        Filter { status: Words::of(status), workflow, step, error, customer, stuck: only.then_some(stuck), ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.runs(filter).await
    }
}

/// Which events.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    /// What was made of them.
    status: Option<Words<Disposition>>,
    /// Who sent them.
    source: Option<Source>,
    /// The sender's type; a `*` at the end stands for anything.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// A part of why nothing followed.
    error: Option<String>,
    /// A part of the customer's address; from a viewer the whole of it.
    customer: Option<String>,
    /// Waiting for a payment that does not come.
    #[serde(default)]
    stuck: bool,
}

impl Row for Event {
    const LIST: &'static str = "events";
    type Id = EventId;
    type Wanted = Events;

    fn id(&self) -> EventId {
        self.id
    }

    fn made(&self) -> Timestamp {
        self.received_at
    }

    fn payment(&self) -> Option<PaymentId> {
        self.payment
    }

    fn narrow(filter: Filter, wanted: Events, stuck: Timestamp) -> Filter {
        let Events { status, source, kind, error, customer, stuck: only } = wanted;
        let source = source.map(|source| source.to_string());
        Filter { status: Words::of(status), source, kind, error, customer, stuck: only.then_some(stuck), ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.events(filter).await
    }

    async fn known_as(store: &Shared, id: &str) -> Result<Option<EventId>, Error> {
        let Story { events, .. } = store.story(store.resolve(id).await?).await?;
        Ok(events.into_iter().find(|event| event.external_id.starts_with(id)).map(|event| event.id))
    }
}

/// Which cases.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    /// Whether somebody still has to act; without it those are listed too in which nobody has.
    status: Option<Words<CaseStatus>>,
    /// What they are about.
    kind: Option<CaseKind>,
    /// A part of the customer's address; from a viewer the whole of it.
    customer: Option<String>,
    /// Open, and nobody has been told yet.
    #[serde(default)]
    stuck: bool,
}

impl Row for Case {
    const LIST: &'static str = "cases";
    type Id = CaseId;
    type Wanted = Cases;

    fn id(&self) -> CaseId {
        self.id
    }

    fn made(&self) -> Timestamp {
        self.opened_at
    }

    fn payment(&self) -> Option<PaymentId> {
        self.payment
    }

    fn narrow(filter: Filter, wanted: Cases, stuck: Timestamp) -> Filter {
        let Cases { status, kind, customer, stuck: only } = wanted;
        let kind = kind.map(|kind| kind.to_string());
        Filter { status: Words::of(status), kind, customer, stuck: only.then_some(stuck), ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.cases(filter).await
    }
}

/// Which acts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acts {
    /// What was done.
    verb: Option<Words<Verb>>,
    /// Who did it.
    actor: Option<String>,
}

impl Row for Act {
    const LIST: &'static str = "acts";
    type Id = ActId;
    type Wanted = Acts;

    fn id(&self) -> ActId {
        self.id
    }

    fn made(&self) -> Timestamp {
        self.at
    }

    fn payment(&self) -> Option<PaymentId> {
        self.payment
    }

    fn narrow(filter: Filter, Acts { verb, actor }: Acts, _: Timestamp) -> Filter {
        Filter { status: Words::of(verb), source: actor, ..filter }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.acts(filter).await
    }
}
