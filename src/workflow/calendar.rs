//! What Cal.com tells of bookings: counted for the mentor, and a booking that comes after its refund is called off.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::cal;
use crate::model::booking::Booking;
use crate::model::capture::Capture;
use crate::model::failure::Failure;
use crate::model::payment::{Payment, PaymentFact, PaymentStatus};
use crate::model::refund::RefundOrigin;
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{COMPARE_WORKFLOW, Change, NewRun, PaymentKey};
use crate::workflow::{Means, booking, called_off, refund_news, refund_payment, settle, track, transfer};

/// What an event of Cal.com says, besides what is kept of the booking.
#[derive(Debug, Deserialize)]
pub struct News {
    pub(super) uid: String,
    pub(super) at: Timestamp,
    #[serde(default)]
    pub(super) cancelled_by: Option<String>,
    #[serde(default)]
    pub(super) request_reschedule: bool,
    #[serde(default)]
    previous: Option<String>,
    #[serde(default)]
    previous_start: Option<Timestamp>,
}

/// A booking, and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) booking: Booking,
    pub(super) mentor: Option<String>,
}

impl Means {
    /// Reads a booking. The mentor is known by its metadata, or by the payment it was made for.
    pub(super) async fn read_booking(&self, ctx: &Ctx, uid: &str) -> Result<Option<Known>, Failure> {
        ctx.step("read-booking", Policy::DEFAULT, async |step| {
            let booking = self.store.booking(uid).await.map_err(|error| step.store_failure(error))?;
            let Some(booking) = booking else { return Ok(None) };
            let mentor = match (&booking.facts.mentor_user_id, booking.payment) {
                (Some(mentor), _) => Some(mentor.clone()),
                (None, Some(id)) => {
                    let payment = self.store.payment(id).await.map_err(|error| step.store_failure(error))?;
                    payment.checkout.map(|order| order.mentor_user_id)
                }
                (None, None) => None,
            };
            Ok(Some(Known { booking, mentor }))
        })
        .await
    }

    /// Holds a booking that is heard of against its payment: the answer to our own request was lost, or the session was given up before.
    /// Where a person paid back and let the session stand, it does. Where nobody can tell whether they did, for they paid back at Stripe, a case
    /// asks about one that `stood` before, here or where it was moved from; whatever else then turns up is called off.
    /// None where there was nothing to be undone.
    async fn compare(&self, ctx: &Ctx, known: &Known, stood: bool) -> Result<Option<Outcome>, Failure> {
        let Some(payment) = known.booking.payment else { return Ok(None) };
        let late = ctx
            .step("compare-with-payment", Policy::DEFAULT, async |step| {
                let read = self.payment_story(payment).await;
                let (payment, story) = read.map_err(|error| step.store_failure(error))?;
                let standing = known.booking.stands();
                let holding = story.refunds.iter().filter(|refund| refund.status.holds_money());
                let last = holding.max_by_key(|refund| refund.id);
                match payment.status {
                    PaymentStatus::Refunded | PaymentStatus::Refunding if standing => {
                        // Where it was to be called off, that holds for wherever it turns up.
                        match last.filter(|refund| !refund_payment::is_called_off(&story, refund)) {
                            Some(refund) if refund.origin == RefundOrigin::Operator => {}
                            Some(refund) if refund.origin == RefundOrigin::Stripe && stood => {
                                let case = refund_news::still_booked(&payment, &known.booking, refund, step.now());
                                if let Some(case) = case {
                                    step.also(about(&payment));
                                    step.also(Change::OpenCase(case));
                                }
                            }
                            Some(_) if settle::is_asked_about(&story, &known.booking.facts.uid) => {}
                            _ => return Ok(true),
                        }
                    }
                    // The customer was told that the free session could not be booked.
                    PaymentStatus::Failed if standing && payment.payment_intent.is_none() => return Ok(true),
                    // The answer to our own request may still be on its way, or lost.
                    PaymentStatus::Paid | PaymentStatus::Attention if standing && last.is_none() && !stood => {
                        step.also(about(&payment));
                        step.also(Change::Learn(PaymentFact::Booked));
                        // Whoever made it may not be there any more to see to the mentor's share.
                        if let Some(order) = &payment.checkout
                            && let Some(run) = transfer::start(order, &known.booking.facts, self.dispute_period)
                        {
                            step.also(run);
                        }
                    }
                    _ => {}
                }
                Ok(false)
            })
            .await?;
        if !late || is_out(Mutant::SettleCheck) {
            return Ok(None);
        }
        let cancelled = ctx
            .step("cancel-late-booking", Policy::MONEY, async |step| {
                let reason = "The session was given up before this booking was known.";
                booking::call_off(&self.providers.cal, &step, &known.booking.facts, reason).await
            })
            .await;
        let Err(failure) = cancelled else { return Ok(Some("late_booking_cancelled")) };
        let summary = "the session was given up, and yet it stands in the calendar".to_owned();
        let case = booking::still_stands(&known.booking.facts.uid, summary, None, &failure);
        ctx.commit("alert-admin", vec![Change::OpenCase(case)]).await?;
        Ok(Some("case_opened"))
    }
}

/// The payment as the subject of what follows, also where the run began before it was known.
pub(super) fn about(payment: &Payment) -> Change {
    Change::About(PaymentKey::Session(payment.session_id.clone()))
}

/// Counts a booking.
pub struct BookingCreated(pub Arc<Means>);

impl Workflow for BookingCreated {
    const NAME: &'static str = cal::BOOKING_CREATED_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        ctx.commit("track-booking-created", created(&known, news.at)).await?;
        Ok(self.0.compare(ctx, &known, false).await?.unwrap_or("counted"))
    }
}

/// For the mentor, and for the booker where the application said who it is.
fn created(known: &Known, at: Timestamp) -> Vec<Change> {
    let (booking, facts) = (&known.booking, &known.booking.facts);
    let mut properties = json!({
        "bookingId": booking.id, "calcomBookingId": facts.cal_id, "calcomUid": facts.uid,
        "eventTypeId": facts.event_type_id, "duration": facts.end.since(facts.start).as_secs() / 60,
        "startTime": facts.start.to_string(),
    });
    let actor = facts.actor_user_id.as_deref().and_then(|actor| {
        let mut properties = properties.clone();
        properties["mentorUserId"] = json!(known.mentor);
        Capture::of("booking_created", Some(actor), &format!("{}/actor", facts.uid), at, properties)
    });
    properties["attendeeEmail"] = json!(facts.attendees.first().map(|attendee| &attendee.email));
    let mentor = Capture::of("booking_created", known.mentor.as_deref(), &facts.uid, at, properties);
    mentor.into_iter().chain(actor).map(|capture| track::later(&capture)).collect()
}

/// Counts a new time.
pub struct BookingRescheduled(pub Arc<Means>);

impl Workflow for BookingRescheduled {
    const NAME: &'static str = cal::BOOKING_RESCHEDULED_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        let facts = &known.booking.facts;
        let properties = json!({
            "calcomUid": facts.uid, "calcomBookingId": facts.cal_id, "previousUid": news.previous,
            "previousStartTime": news.previous_start.map(|start| start.to_string()),
            "startTime": facts.start.to_string(),
        });
        count(ctx, "track-booking-rescheduled", "booking_rescheduled", &known, news.at, properties).await?;
        Ok(self.0.compare(ctx, &known, true).await?.unwrap_or("counted"))
    }
}

/// A run that compares a session that stood when its payment was paid back, once.
pub(super) fn compare_after(uid: &str) -> Change {
    Change::Start(NewRun::with_input(COMPARE_WORKFLOW, format!("after/{uid}"), json!({ "uid": uid })))
}

/// Which booking.
#[derive(Deserialize)]
pub struct Found {
    uid: String,
    /// Whether it stood for the payment when that was paid back.
    #[serde(default)]
    stood: bool,
}

/// Compares a session with the payment that it was found to be of once it was known for itself, or that was paid back meanwhile.
pub struct CompareBooking(pub Arc<Means>);

impl Workflow for CompareBooking {
    const NAME: &'static str = COMPARE_WORKFLOW;
    type Input = Found;

    async fn run(&self, ctx: &Ctx, found: Found) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &found.uid).await? else { return Ok("unknown") };
        if let Some(settled) = called_off::settle_found_out(ctx, &self.0, &known.booking).await? {
            return Ok(settled);
        }
        let stood = found.stood || known.booking.facts.replaces.is_some();
        Ok(self.0.compare(ctx, &known, stood).await?.unwrap_or("compared"))
    }
}

/// Counts a start.
pub struct MeetingStarted(pub Arc<Means>);

impl Workflow for MeetingStarted {
    const NAME: &'static str = cal::MEETING_STARTED_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        let facts = &known.booking.facts;
        let properties = json!({
            "calcomUid": facts.uid, "calcomBookingId": facts.cal_id, "startTime": facts.start.to_string(),
        });
        count(ctx, "track-meeting-started", "meeting_started", &known, news.at, properties).await
    }
}

/// Counts an end.
pub struct MeetingEnded(pub Arc<Means>);

impl Workflow for MeetingEnded {
    const NAME: &'static str = cal::MEETING_ENDED_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        let facts = &known.booking.facts;
        let properties = json!({
            "calcomUid": facts.uid, "calcomBookingId": facts.cal_id, "startTime": facts.start.to_string(),
            "endTime": facts.end.to_string(),
        });
        count(ctx, "track-meeting-ended", "meeting_ended", &known, news.at, properties).await
    }
}

async fn count(
    ctx: &Ctx,
    step: &str,
    event: &str,
    known: &Known,
    at: Timestamp,
    properties: serde_json::Value,
) -> Result<Outcome, Failure> {
    let capture = Capture::of(event, known.mentor.as_deref(), &known.booking.facts.uid, at, properties);
    let Some(capture) = capture else { return Ok("nobody_to_count_for") };
    ctx.commit(step, vec![track::later(&capture)]).await?;
    Ok("counted")
}
