//! Sessions that do not take place: what becomes of the money.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::ctx::{Ctx, Step};
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::ingress::cal;
use crate::model::act::Act;
use crate::model::booking::{Booking, BookingStatus, NewBooking, RESCHEDULED};
use crate::model::capture::Capture;
use crate::model::case::{Case, CaseKind, NewCase};
use crate::model::failure::Failure;
use crate::model::id::PaymentId;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentFact, PaymentStatus};
use crate::model::policy::Policy as SessionPolicy;
use crate::store::change::{Change, HOST_NO_SHOW_WORKFLOW, PaymentKey, REFUND_WORKFLOW};
use crate::store::{Story, Unsettled};
use crate::workflow::calendar::{News, about};
use crate::workflow::{Means, booking, refund_payment, track};

/// How often is asked whether the checkout has come to its end.
const BETWEEN: Duration = Duration::from_secs(60);
/// After as many, it counts as stuck, and has a case of its own.
const MOST_WAITS: u32 = 300;

/// Settles a session that was called off.
pub struct BookingCancelled(pub Arc<Means>);

impl Workflow for BookingCancelled {
    const NAME: &'static str = cal::BOOKING_CANCELLED_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        let facts = &known.booking.facts;
        let properties = json!({
            "calcomUid": facts.uid, "calcomBookingId": facts.cal_id, "organizerEmail": facts.host_email(),
        });
        let capture = Capture::of("booking_cancelled", known.mentor.as_deref(), &facts.uid, news.at, properties);
        ctx.commit("track-booking-cancelled", capture.iter().map(track::later).collect()).await?;
        if news.request_reschedule {
            // The mentor has asked for another time: the customer may choose one until the old one has come.
            ctx.sleep_until(facts.start).await;
        }
        let off = CalledOff::by(news.cancelled_by.as_deref(), facts, &self.0);
        off.settle(ctx, &self.0, &known.booking).await
    }
}

/// Pays back what the mentor declined.
pub struct BookingRejected(pub Arc<Means>);

impl Workflow for BookingRejected {
    const NAME: &'static str = cal::BOOKING_REJECTED_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        CalledOff::declined().settle(ctx, &self.0, &known.booking).await
    }
}

/// Settles a session to which the mentor did not come.
pub struct HostNoShow(pub Arc<Means>);

impl Workflow for HostNoShow {
    const NAME: &'static str = HOST_NO_SHOW_WORKFLOW;
    type Input = News;

    async fn run(&self, ctx: &Ctx, news: News) -> Result<Outcome, Failure> {
        let Some(known) = self.0.read_booking(ctx, &news.uid).await? else { return Ok("unknown") };
        let uid = &known.booking.facts.uid;
        // For Cal.com's own books; nothing here hangs on it.
        let marked = async |_| Ok(self.0.providers.cal.mark_host_absent(uid).await?);
        ctx.step("mark-host-absent", Policy::DEFAULT, marked).await.ok();
        CalledOff::missed(&self.0).settle(ctx, &self.0, &known.booking).await
    }
}

/// Why a session does not take place, and what the owner wants done then.
struct CalledOff {
    kind: CaseKind,
    policy: SessionPolicy,
    what: String,
    told: String,
}

/// Where the payment stands.
#[derive(Serialize, Deserialize)]
enum Standing {
    /// The checkout is still at work on it.
    AtWork,
    /// Nothing is to be settled: why.
    Settled(String),
    /// It is paid, this session was what it was paid for, and so much of it is not paid back.
    Open { session: String, amount: Money },
    /// The same, and a person has settled an earlier session of it by hand: nobody can tell how.
    ByHand { session: String, amount: Money },
}

/// Settles a session that is found to be of a payment, and that did not take place or will not; none where it stands.
pub(super) async fn settle_found_out(ctx: &Ctx, means: &Means, booking: &Booking) -> Result<Option<Outcome>, Failure> {
    let facts = &booking.facts;
    let off = match facts.status {
        _ if booking.host_absent => CalledOff::missed(means),
        // Nobody called it off: what took its place decides.
        BookingStatus::Cancelled if facts.reason.as_deref() == Some(RESCHEDULED) => return Ok(None),
        BookingStatus::Cancelled => CalledOff::by(facts.cancelled_by.as_deref(), facts, means),
        BookingStatus::Rejected => CalledOff::declined(),
        BookingStatus::Pending | BookingStatus::Accepted | BookingStatus::Completed => return Ok(None),
    };
    off.settle(ctx, means, booking).await.map(Some)
}

impl CalledOff {
    /// By the customer, or else by the mentor.
    fn by(somebody: Option<&str>, facts: &NewBooking, means: &Means) -> Self {
        let is_attendee = |by: &str| facts.attendees.iter().any(|attendee| attendee.is_at(by));
        let (policy, who) = if somebody.is_some_and(is_attendee) {
            (means.policies.attendee_cancels, "the customer")
        } else {
            (means.policies.mentor_cancels, "the mentor")
        };
        Self {
            kind: CaseKind::SessionCancelled,
            policy,
            what: format!("{who} called the session off"),
            told: "your session was called off".to_owned(),
        }
    }

    fn declined() -> Self {
        Self {
            kind: CaseKind::SessionCancelled,
            policy: SessionPolicy::Refund,
            what: "the mentor declined the session".to_owned(),
            told: "your mentor could not take the session".to_owned(),
        }
    }

    fn missed(means: &Means) -> Self {
        Self {
            kind: CaseKind::HostNoShow,
            policy: means.policies.host_no_show,
            what: "the mentor did not come to the session".to_owned(),
            told: "your mentor did not come to the session".to_owned(),
        }
    }

    async fn settle(&self, ctx: &Ctx, means: &Means, booking: &Booking) -> Result<Outcome, Failure> {
        let uid = &booking.facts.uid;
        let Some(payment) = booking.payment else { return Ok("nothing_was_paid") };
        let mut standing = standing(ctx, means, payment, uid).await?;
        for _ in 0..MOST_WAITS {
            if !matches!(standing, Standing::AtWork) {
                break;
            }
            ctx.sleep("wait-for-checkout", BETWEEN).await;
            standing = self::standing(ctx, means, payment, uid).await?;
        }
        let (session, amount, policy) = match standing {
            Standing::Open { session, amount } => (session, amount, self.policy),
            Standing::ByHand { session, amount } => (session, amount, SessionPolicy::Case),
            Standing::AtWork | Standing::Settled(_) => return Ok("settled_already"),
        };
        let about = Change::About(PaymentKey::Session(session));
        match policy {
            SessionPolicy::Refund => {
                let refund = refund_payment::start(uid, &self.what, &self.told);
                ctx.commit("start-refund", vec![about, refund]).await?;
                Ok("refund_started")
            }
            SessionPolicy::Case => {
                let case = NewCase {
                    kind: self.kind,
                    cause: format!("{}/{uid}", self.kind),
                    summary: format!("{}; {amount} was paid for it and is kept until somebody decides", self.what),
                    detail: format!("booking {uid}: refund it, or agree on another time and close this"),
                    at_risk: Some(amount),
                };
                let learnt = Change::Learn(PaymentFact::CalledOff);
                ctx.commit("alert-admin", vec![about, learnt, Change::OpenCase(case)]).await?;
                Ok("case_opened")
            }
            SessionPolicy::None => {
                ctx.commit("leave", vec![about]).await?;
                Ok("left_by_policy")
            }
        }
    }
}

async fn standing(ctx: &Ctx, means: &Means, id: PaymentId, uid: &str) -> Result<Standing, Failure> {
    ctx.step("look-at-payment", Policy::MONEY, async |step| {
        let read = means.payment_story(id).await;
        let (payment, story) = read.map_err(|error| step.store_failure(error))?;
        let back: i64 = refund_payment::back_or_under_way(&story).map(|refund| refund.amount.minor).sum();
        let left = payment.amount.minor - back;
        let others = story.bookings.iter().any(|other| other.facts.uid != uid && other.stands());
        let is_replaced = story.bookings.iter().any(|other| other.facts.replaces.as_deref() == Some(uid));
        let amount = Money::new(left, payment.amount.currency);
        let given_up = ordered_off(&story, uid);
        Ok(match payment.status {
            _ if others => Standing::Settled("another session stands for it".to_owned()),
            _ if is_replaced => Standing::Settled("another session took its place".to_owned()),
            _ if payment.payment_intent.is_none() => Standing::Settled("nothing was paid".to_owned()),
            _ if left <= 0 => Standing::Settled("the whole of it is refunded".to_owned()),
            _ if given_up == Some(false) => Standing::Settled("an operator called it off".to_owned()),
            PaymentStatus::Paid => Standing::AtWork,
            PaymentStatus::Attention if is_asked_about(&story, uid) => {
                Standing::Settled("a person is to decide about it".to_owned())
            }
            PaymentStatus::Booked | PaymentStatus::Attention
                if adopt_another(&step, means, &payment, &story, uid).await? =>
            {
                Standing::Settled("another session stands for it".to_owned())
            }
            PaymentStatus::Booked if given_up.is_some() => Standing::ByHand { session: payment.session_id, amount },
            PaymentStatus::Booked => Standing::Open { session: payment.session_id, amount },
            PaymentStatus::Attention => Standing::ByHand { session: payment.session_id, amount },
            status => Standing::Settled(format!("the payment is {status}")),
        })
    })
    .await
}

/// What a comparison may find of a session.
const OF_SESSIONS: [Unsettled; 4] =
    [Unsettled::Abandoned, Unsettled::NothingStands, Unsettled::Unconfirmed, Unsettled::StillStands];

/// Whether a person has still to decide about this very session, or about a payment for which none is known. What is asked about
/// another session says nothing of this one.
fn is_asked_about(story: &Story, uid: &str) -> bool {
    let refunds = |case: &Case| {
        let mut runs = story.runs.iter().map(|(run, _)| run).filter(|run| Some(run.id) == case.run);
        runs.any(|run| run.workflow == REFUND_WORKFLOW && run.key == uid)
    };
    story.cases.iter().filter(|case| case.closed_at.is_none()).any(|case| match case.kind {
        CaseKind::BookingUnclear | CaseKind::UnusableCheckout => true,
        CaseKind::Unaccounted => case.cause.split('/').any(|what| OF_SESSIONS.iter().any(|of| of.as_str() == what)),
        CaseKind::SessionCancelled | CaseKind::HostNoShow => case.cause.split('/').nth(1) == Some(uid),
        CaseKind::RefundFailed => refunds(case),
        _ => false,
    })
}

/// Whether a person paid a part of it back and ordered it called off with that: so it was their decision, and Cal.com's word of it is none.
/// What is heard of after that was agreed on since. With it, whether it could not be called off, and they had to decide anew.
fn ordered_off(story: &Story, uid: &str) -> Option<bool> {
    let known_at = story.bookings.iter().find(|booking| booking.facts.uid == uid)?.created_at;
    let was_known = |act: &&Act| {
        let run = refund_payment::ordered_run(story, act);
        run.map_or(Some(act.at), |run| run.finished_at).is_none_or(|until| known_at <= until)
    };
    let mut orders = story.acts.iter().filter(|act| act.calls_off() && refund_payment::came_through(story, act));
    Some(refund_payment::has_left_it_standing(story, orders.find(was_known)?))
}

/// Whether Cal.com has another session for this payment, which takes the place of the one that is gone: a second one was not the
/// payment's while the first stood.
async fn adopt_another(
    step: &Step<'_>,
    means: &Means,
    payment: &Payment,
    story: &Story,
    uid: &str,
) -> Result<bool, Failure> {
    // Whatever a list says that is behind.
    let is_gone =
        |uid: &str| story.bookings.iter().any(|known| known.facts.uid == uid && !known.facts.status.is_live());
    let Some(order) = payment.checkout.as_ref().filter(|_| is_gone(uid)) else { return Ok(false) };
    let found = booking::find(&means.providers.cal, order).await?;
    let Some(found) = found.filter(|found| found.booking.uid != uid && !is_gone(&found.booking.uid)) else {
        return Ok(false);
    };
    step.also(about(payment));
    for known in found.before.into_iter().chain([found.booking]) {
        step.also(Change::Booking(known));
    }
    Ok(true)
}
