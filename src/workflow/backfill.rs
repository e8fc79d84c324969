//! What was never sent, or got lost on the way: fetched, and put through the same intake.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::{cal, stripe};
use crate::model::booking::{Booking, BookingStatus};
use crate::model::event::{Source, Via};
use crate::model::failure::Failure;
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::observe::trace::Traces;
use crate::provider::stripe::EventQuery;
use crate::store::change::{Change, Plan};
use crate::store::error::Error;
use crate::workflow::Means;
use crate::workflow::booking::MOST_MOVES;
use crate::workflow::schedule::{BACKFILL_CAL, BACKFILL_STRIPE, Slot};

/// How far back a source is read that was never complete: Stripe lists thirty days.
pub const FIRST_TIME: Duration = Duration::from_secs(48 * 3600);
/// How much is read again, for what appears late in the list.
const OVERLAP: Duration = Duration::from_secs(15 * 60);
/// Sessions that are looked at in the calendar: from those just over when it was last complete to those booked far ahead.
const PAST: Duration = Duration::from_secs(2 * 24 * 3600);
const AHEAD: Duration = Duration::from_secs(90 * 24 * 3600);

/// What one page brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// How many were on it.
    pub found: u32,
    /// How many of them were new here.
    pub new: u32,
    /// Where the next page begins; none if this was the last.
    pub next: Option<String>,
    /// When it was read, by the clock of who listed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Means {
    /// Fetches one page of Stripe's events and keeps what is new, or, with `dry`, only looks.
    pub async fn pull_stripe(
        &self,
        query: &EventQuery,
        after: Option<&str>,
        now: Timestamp,
        dry: bool,
    ) -> Result<Page, Failure> {
        let page = self.providers.stripe.events(query, after).await?;
        let mut pulled = Page { found: 0, new: 0, next: None, at: page.at };
        for raw in &page.data {
            let body = Bytes::copy_from_slice(raw.get().as_bytes());
            let plan = stripe::plan(body, Via::Backfill, self.live);
            let plan = plan.map_err(|error| Failure::permanent(error.code(), error.to_string()))?;
            pulled.next = page.has_more.then(|| plan.event.external_id.clone());
            pulled.found += 1;
            pulled.new += u32::from(!is_out(Mutant::Backfill) && self.keep(plan, now, dry).await?);
        }
        Ok(pulled)
    }

    /// Whether it is new.
    async fn keep(&self, plan: Plan, now: Timestamp, dry: bool) -> Result<bool, Failure> {
        let failed = |error: Error| Failure::transient(error.code(), error.to_string());
        if dry {
            return match self.store.resolve(&plan.event.external_id).await {
                Err(Error::NotFound(_)) => Ok(true),
                Ok(_) | Err(Error::Illegal(_)) => Ok(false),
                Err(error) => Err(failed(error)),
            };
        }
        let event = &plan.event;
        let arrival = Traces::of_task().arrival(event.source, &event.external_id, &event.kind, None, Instant::now());
        let (row, is_new) = self.store.ingest(plan, now).await.map_err(failed)?.told();
        if is_new {
            arrival.end(Ok((row, true)), now);
        }
        Ok(is_new)
    }

    /// Fetches one page of Cal.com's bookings, and keeps what differs from what is known. What was called off since `since` may have
    /// been about to begin then.
    async fn pull_cal(&self, since: Timestamp, skip: usize, now: Timestamp) -> Result<Page, Failure> {
        let found = self.providers.cal.bookings_between(since.minus(PAST), now.plus(AHEAD), skip).await?;
        let mut pulled =
            Page { found: u32::try_from(found.bookings.len()).unwrap_or(u32::MAX), new: 0, next: None, at: None };
        for booking in &found.bookings {
            if let Some(event) = self.news_of(booking, &found.bookings).await?
                && !is_out(Mutant::CalendarBackfill)
            {
                let body = serde_json::to_vec(&event).unwrap_or_default();
                let plan = cal::plan(Bytes::from(body), Via::Backfill, self.live, now);
                let plan = plan.map_err(|error| Failure::permanent(error.code(), error.to_string()))?;
                pulled.new += u32::from(self.keep(plan, now, false).await?);
            }
        }
        pulled.next = found.more.then(|| (skip + found.bookings.len()).to_string());
        Ok(pulled)
    }

    /// The webhook that would have told of this booking; none if it is known to stand as it does. `listed` is what it was listed with.
    async fn news_of(&self, booking: &Value, listed: &[Value]) -> Result<Option<Value>, Failure> {
        let Some(uid) = booking["uid"].as_str() else { return Ok(None) };
        let was_moved = booking["rescheduledFromUid"].is_string();
        let (kind, status) = match booking["status"].as_str() {
            Some("accepted") if was_moved => ("BOOKING_RESCHEDULED", BookingStatus::Accepted),
            Some("accepted") => ("BOOKING_CREATED", BookingStatus::Accepted),
            // Nobody called it off: the one that took its place tells of both.
            Some("cancelled") if booking["rescheduledToUid"].is_string() => return Ok(None),
            Some("cancelled") => ("BOOKING_CANCELLED", BookingStatus::Cancelled),
            Some("rejected") => ("BOOKING_REJECTED", BookingStatus::Rejected),
            Some("pending") => ("BOOKING_REQUESTED", BookingStatus::Pending),
            _ => return Ok(None),
        };
        let known = self.known(uid).await?;
        let is_missed = booking["absentHost"] == true && known.as_ref().is_some_and(|known| !known.host_absent);
        let is_told = known.as_ref().is_some_and(|known| known.facts.status.learn(status) == known.facts.status);
        // Of one that was heard of before what it took the place of, nobody knows who paid for it.
        let is_nobodys = was_moved && known.is_some_and(|known| known.payment.is_none());
        if is_told && is_missed {
            return Ok(Some(webhook(cal::HOST_NO_SHOW, booking, &Value::Null)));
        }
        if is_told && !is_nobodys {
            return Ok(None);
        }
        let first = self.first_of(booking, listed).await?;
        if is_told && !self.may_tell_whose(&first).await? {
            return Ok(None);
        }
        Ok(Some(webhook(kind, booking, &first)))
    }

    async fn known(&self, uid: &str) -> Result<Option<Booking>, Failure> {
        self.store.booking(uid).await.map_err(|error| Failure::transient(error.code(), error.to_string()))
    }

    async fn is_paid_for(&self, booking: &Value) -> Result<bool, Failure> {
        let Some(uid) = booking["uid"].as_str() else { return Ok(false) };
        Ok(self.known(uid).await?.is_some_and(|known| known.payment.is_some()))
    }

    /// Whether what took the place of this booking may be found to be somebody's by it: unless it is known, and nobody's either.
    async fn may_tell_whose(&self, first: &Value) -> Result<bool, Failure> {
        let Some(uid) = first["uid"].as_str() else { return Ok(false) };
        Ok(self.known(uid).await?.is_none_or(|known| known.payment.is_some()))
    }

    /// What a booking took the place of, by however many moves: one that is known to be paid for, or the first, whose time tells whose
    /// they are; nothing if it was never moved. It may be on another page, or over for long.
    async fn first_of(&self, booking: &Value, listed: &[Value]) -> Result<Value, Failure> {
        let (mut first, mut of) = (Value::Null, booking.clone());
        for _ in 0..MOST_MOVES {
            let Some(uid) = of["rescheduledFromUid"].as_str() else { break };
            let found = match listed.iter().find(|other| other["uid"] == uid) {
                Some(found) => Some(found.clone()),
                None => self.listed_alone(uid).await?,
            };
            // Its uid is known all the same.
            of = found.unwrap_or_else(|| json!({ "uid": uid }));
            first.clone_from(&of);
            if self.is_paid_for(&first).await? {
                break;
            }
        }
        Ok(first)
    }

    /// A booking of Cal.com's, unless it refuses to tell of it.
    async fn listed_alone(&self, uid: &str) -> Result<Option<Value>, Failure> {
        match self.providers.cal.booking(uid).await {
            Err(error) if matches!(error.failure.status, Some(400 | 403 | 410 | 422)) => Ok(None),
            found => Ok(found?),
        }
    }
}

/// What Cal.com would have sent of a booking that it lists, as if it had taken the place of `first` at once.
fn webhook(kind: &str, booking: &Value, first: &Value) -> Value {
    json!({
        "triggerEvent": kind,
        "createdAt": booking["updatedAt"],
        "payload": {
            "uid": booking["uid"], "bookingId": booking["id"], "title": booking["title"], "startTime": booking["start"],
            "endTime": booking["end"], "eventTypeId": booking["eventTypeId"], "metadata": booking["metadata"],
            "organizer": booking["hosts"][0], "attendees": booking["attendees"], "rescheduleUid": first["uid"],
            "rescheduleStartTime": first["start"], "rescheduleEndTime": first["end"],
            "cancelledBy": booking["cancelledByEmail"], "cancellationReason": booking["cancellationReason"],
        },
    })
}

/// Reads Stripe's events since it was last complete.
pub struct BackfillStripe(pub Arc<Means>);

impl Workflow for BackfillStripe {
    const NAME: &'static str = BACKFILL_STRIPE.workflow;
    type Input = Slot;

    async fn run(&self, ctx: &Ctx, slot: Slot) -> Result<Outcome, Failure> {
        BACKFILL_STRIPE.go_on(ctx, slot).await?;
        let (since, mut began) = begin(ctx, &self.0, Source::Stripe).await?;
        let query = EventQuery { since, until: None, types: stripe::TYPES.map(str::to_owned).into() };
        let mut after: Option<String> = None;
        let mut new = 0;
        loop {
            let page = ctx
                .step("pull-page", Policy::MONEY, async |step| {
                    self.0.pull_stripe(&query, after.as_deref(), step.now(), false).await
                })
                .await?;
            new += page.new;
            if after.is_none() {
                // By Stripe's clock: ours may be ahead, and what happens until it is right would never be fetched.
                began = page.at.unwrap_or(began);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        finish(ctx, Source::Stripe, began, new).await
    }
}

/// Reads Cal.com's bookings.
pub struct BackfillCal(pub Arc<Means>);

impl Workflow for BackfillCal {
    const NAME: &'static str = BACKFILL_CAL.workflow;
    type Input = Slot;

    async fn run(&self, ctx: &Ctx, slot: Slot) -> Result<Outcome, Failure> {
        BACKFILL_CAL.go_on(ctx, slot).await?;
        let (since, began) = begin(ctx, &self.0, Source::Cal).await?;
        let (mut skip, mut new) = (0, 0);
        loop {
            let page =
                ctx.step("pull-page", Policy::MONEY, async |_| self.0.pull_cal(since, skip, began).await).await?;
            new += page.new;
            match page.next.and_then(|next| next.parse().ok()) {
                Some(next) => skip = next,
                None => break,
            }
        }
        finish(ctx, Source::Cal, began, new).await
    }
}

/// From when is read, and when that began.
async fn begin(ctx: &Ctx, means: &Means, source: Source) -> Result<(Timestamp, Timestamp), Failure> {
    ctx.step("begin", Policy::DEFAULT, async |step| {
        let complete = means.store.complete_until(source).await.map_err(|error| step.store_failure(error))?;
        let since = complete.map_or_else(|| step.now().minus(FIRST_TIME), |until| until.min(step.now()).minus(OVERLAP));
        Ok((since, step.now()))
    })
    .await
}

async fn finish(ctx: &Ctx, source: Source, began: Timestamp, new: u32) -> Result<Outcome, Failure> {
    if new > 0 {
        tracing::warn!(
            tag = "Backfill", event = "events_were_missing", runId = %ctx.run().id, source = source.as_str(), count = new,
        );
    }
    ctx.commit("complete", vec![Change::Complete { source, until: began }]).await?;
    Ok(if new > 0 { "caught_up" } else { "nothing_missing" })
}
