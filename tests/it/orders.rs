//! What happened is told in every order, each thing once or twice, all at once or one by one: the end is the same, or a right one.

use std::collections::BTreeSet;

use discuno::model::case::{CaseKind, CaseStatus};
use discuno::model::payment::PaymentStatus;
use serde_json::json;

use crate::life::sample;
use crate::support::event::NOW;
use crate::support::{Act, CalEvent, Event, World};

/// How the news comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Before anybody works.
    AtOnce,
    /// Each once all that follows of the one before has come to its end.
    OneByOne,
}

/// What has happened, in that order, before anything is told of; and what is told, in whatever order.
struct Story {
    happened: Vec<Vec<u8>>,
    told: [Act; 5],
}

fn zoe() -> Event {
    Event::paid("zoe@example.edu")
}

fn cal(name: &str) -> CalEvent {
    CalEvent::sample(name).about(&zoe())
}

/// Paid by a method that takes its time, called off by the application, paid back in the dashboard, disputed.
fn paid_later() -> Story {
    let unpaid = zoe().session("payment_status", json!("unpaid"));
    let paid = zoe().kind("checkout.session.async_payment_succeeded").id("evt_paid");
    let refunded = sample("refund.updated_succeeded", &zoe());
    let disputed = sample("charge.dispute.created", &zoe());
    let session = unpaid.0["data"]["object"]["id"].clone();
    let off = json!({"name": "stripe/checkout.cancelled", "id": "off", "data": {"sessionId": session}});
    Story {
        happened: [&unpaid, &paid, &refunded, &disputed].map(Event::body).into(),
        told: [Act::Stripe(unpaid), Act::Stripe(paid), Act::App(off), Act::Stripe(refunded), Act::Stripe(disputed)],
    }
}

/// So long ago that a database may have been lost since: Cal.com is looked at before anything is booked.
fn long_ago() -> Event {
    zoe().top("created", json!(NOW.as_secs() - 3600))
}

/// The session was booked, called off and paid back, and of none of it anything is left here.
fn forgotten() -> Story {
    let (made, off) = (cal("BOOKING_CREATED"), cal("BOOKING_CANCELLED"));
    let [pending, refunded] = ["refund.created_pending", "refund.updated_succeeded"].map(|name| sample(name, &zoe()));
    Story {
        happened: vec![long_ago().body(), made.body(), off.body(), pending.body(), refunded.body()],
        told: [Act::Stripe(long_ago()), Act::Cal(made), Act::Cal(off), Act::Stripe(pending), Act::Stripe(refunded)],
    }
}

/// The session was booked, moved, and disputed in vain, and of none of it anything is left here.
fn moved() -> Story {
    let made = cal("BOOKING_CREATED");
    let old = made.0["payload"]["uid"].clone();
    let moved = cal("BOOKING_RESCHEDULED").set("uid", json!("uid-moved")).set("rescheduleUid", old);
    let moved = moved.set("bookingId", json!(91_999));
    let [disputed, won] = ["charge.dispute.created", "charge.dispute.closed_won"].map(|name| sample(name, &zoe()));
    Story {
        happened: vec![long_ago().body(), made.body(), moved.body(), disputed.body(), won.body()],
        told: [Act::Stripe(long_ago()), Act::Cal(made), Act::Cal(moved), Act::Stripe(disputed), Act::Stripe(won)],
    }
}

/// All orders of so many things.
fn orders(many: usize) -> Vec<Vec<usize>> {
    if many == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(many - 1);
    let with = |place: usize| {
        shorter.iter().map(move |order| {
            let mut longer = order.clone();
            longer.insert(place, many - 1);
            longer
        })
    };
    (0..many).flat_map(with).collect()
}

/// What is known here and there once everything is at rest.
struct End {
    status: PaymentStatus,
    /// Of open cases.
    cases: BTreeSet<CaseKind>,
    money: String,
}

async fn end(world: &World) -> End {
    let story = world.story().await;
    let refunds: Vec<_> = story.refunds.iter().map(|known| (known.status, known.origin, known.amount)).collect();
    let disputes: Vec<_> = story.disputes.iter().map(|known| known.status).collect();
    let bookings: BTreeSet<_> =
        story.bookings.iter().map(|known| (known.facts.uid.clone(), known.facts.status.as_str())).collect();
    let theirs = world.ledger();
    let live = theirs.cal.bookings.iter().filter(|booking| booking.status == "accepted");
    let live: Vec<_> = live.map(|booking| &booking.uid).collect();
    let paid_back = theirs.stripe.refunds.iter().map(|refund| refund.amount).sum::<i64>();
    let open = story.cases.iter().filter(|case| case.status == CaseStatus::Open);
    End {
        status: story.payment.unwrap().status,
        cases: open.map(|case| case.kind).collect(),
        money: format!("{refunds:?} {disputes:?} {bookings:?}, live: {live:?}, paid back: {paid_back}"),
    }
}

async fn told_in_every_order(story: fn() -> Story, pace: Pace, status: PaymentStatus) {
    let mut ends: BTreeSet<String> = BTreeSet::new();
    for (number, order) in orders(5).into_iter().enumerate() {
        // Every choice of what comes twice comes four times or so.
        let twice = number * 7 % 32;
        let context = format!("{order:?}, twice {twice:05b}, {pace:?}");
        let mut world = World::idle();
        let Story { happened, told } = story();
        for event in &happened {
            world.sandbox.observe(event);
        }
        if pace == Pace::OneByOne {
            world.work_over(world.providers());
        }
        for index in order {
            for _ in 0..=(twice >> index & 1) {
                told[index].happen(&world).await;
            }
            if pace == Pace::OneByOne {
                world.settle().await;
            }
        }
        if pace == Pace::AtOnce {
            world.work_over(world.providers());
        }
        world.settle().await;
        world.assert_money_is_right(&context).await;
        let End { status: is, cases, money } = end(&world).await;
        // A refund of what is still said to be unpaid is a person's matter, whatever is told afterwards.
        let odd = is == PaymentStatus::Attention && cases.contains(&CaseKind::Contradiction);
        assert!(is == status || odd, "{context}: {is} {cases:?} {money}");
        ends.insert(money);
    }
    assert!(pace == Pace::OneByOne || ends.len() == 1, "{ends:#?}");
}

macro_rules! stories {
    ($($name:ident $status:ident)*) => {$(
        mod $name {
            use super::{Pace, PaymentStatus, told_in_every_order};

            #[tokio::test(start_paused = true)]
            async fn told_of_at_once_in_any_order_it_has_one_end() {
                told_in_every_order(super::$name, Pace::AtOnce, PaymentStatus::$status).await;
            }

            #[tokio::test(start_paused = true)]
            async fn told_of_one_by_one_in_any_order_it_has_a_right_end() {
                told_in_every_order(super::$name, Pace::OneByOne, PaymentStatus::$status).await;
            }
        }
    )*};
}

stories! {
    paid_later Refunded
    forgotten Refunded
    moved Booked
}
