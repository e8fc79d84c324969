//! The ways that stories go, which together come to every workflow.

use std::time::Duration;

use discuno::config::Config;
use discuno::model::policy::Policy;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::json;

use crate::faults;
use crate::support::{Act, CalEvent, Event};

const HOUR: Duration = Duration::from_hours(1);

/// A story.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) refund_called_off: bool,
    pub(crate) acts: Vec<Act>,
}

/// The settings of every story.
pub(crate) fn adjust(config: &mut Config, refund_called_off: bool) {
    config.settle_for = 2 * HOUR;
    config.dispute_period = HOUR;
    if refund_called_off {
        config.policies.mentor_cancels = Policy::Refund;
        config.policies.host_no_show = Policy::Refund;
    }
}

pub(crate) fn ways() -> Vec<Way> {
    let way = |name, acts| Way { name, refund_called_off: false, acts };
    let bought = |name, email: &str| way(name, vec![Act::Stripe(Event::paid(email))]);
    let mut ways = vec![
        bought("booked", "zoe@example.edu"),
        bought("refunded", "zoe+cal-refused@example.edu"),
        bought("refund refused", "zoe+cal-refused+refund-refused@example.edu"),
        bought("refund pending", "zoe+cal-refused+refund-pending@example.edu"),
        bought("refund's answer lost", "zoe+cal-refused+refund-lost@example.edu"),
        bought("booking's answer lost", "zoe+cal-lost@example.edu"),
        bought("bookings not taken", "zoe+cal-create-down@example.edu"),
        bought("calendar down", "zoe+cal-down@example.edu"),
        bought("not counted", "zoe+posthog-down@example.edu"),
        bought("not told", "zoe+mail-down@example.edu"),
        way("free", vec![Act::Stripe(Event::paid("zoe@example.edu").free())]),
        way("not paid", not_paid()),
        way("free and given up", given_up()),
        way("read at Stripe", vec![Act::Stripe(zoe()), refunded_unheard(), Act::Stripe(charge_refunded())]),
        way("a night", night()),
        way("a test alert", vec![Act::TestAlert]),
        way("nobody to be told", untold()),
        way("many cases", many_cases()),
        way("refunded by hand, refused", refunded_by_hand("zoe+refund-refused@example.edu", None)),
        way("refunded by hand, the answer lost", refunded_by_hand("zoe+refund-lost@example.edu", None)),
        way("refunded by hand, still standing", refunded_by_hand("zoe@example.edu", Some(no_cancelling()))),
        way("late and still standing", still_standing()),
        way("late, free and still standing", [vec![Act::Trouble(no_cancelling())], given_up()].concat()),
        way("called off by the customer", called_off("zoe@example.edu", Vec::new())),
        way("called off at once", called_off("zoe+at-once@example.edu", vec![Act::Trouble(no_booking())])),
        way(
            "share without funds",
            share(Effect::Refuse {
                status: 400,
                code: "balance_insufficient".to_owned(),
                message: "Insufficient funds.".to_owned(),
            }),
        ),
        way("share's answer lost", share(Effect::DropAfter)),
        way("absence not taken", absent()),
    ];
    for (name, rehearsal) in faults::rehearsals() {
        let acts = rehearsal.before.into_iter().chain([Act::Pass(Duration::from_secs(60))]).chain(rehearsal.acts);
        ways.push(Way { name, refund_called_off: name != "cancelled_case", acts: acts.collect() });
    }
    ways
}

fn zoe() -> Event {
    Event::paid("zoe@example.edu")
}

fn refused() -> Effect {
    Effect::Refuse { status: 404, code: "NotFound".to_owned(), message: "no".to_owned() }
}

fn no_cancelling() -> Fault {
    Fault::new(Provider::Cal, refused()).on("bookings.cancel")
}

fn no_booking() -> Fault {
    Fault::new(Provider::Cal, Effect::ErrorBefore { status: 503 }).on("bookings.create").times(3)
}

fn refunded_by_hand(email: &str, trouble: Option<Fault>) -> Vec<Act> {
    let bought = [Act::Stripe(Event::paid(email)), Act::Pass(Duration::from_secs(60))];
    bought.into_iter().chain(trouble.map(Act::Trouble)).chain([Act::Refund]).collect()
}

fn still_standing() -> Vec<Act> {
    let given_up = Event::paid("zoe+cal-refused@example.edu");
    let late = CalEvent::sample("BOOKING_CREATED").about(&given_up);
    vec![Act::Trouble(no_cancelling()), Act::Stripe(given_up), Act::Pass(Duration::from_secs(60)), Act::Cal(late)]
}

/// The policy leaves the money where it is.
fn called_off(email: &str, trouble: Vec<Act>) -> Vec<Act> {
    let purchase = Event::paid(email);
    let off = CalEvent::sample("BOOKING_CANCELLED").about(&purchase).set("cancelledBy", json!(email));
    let wait = if trouble.is_empty() { vec![Act::Pass(Duration::from_secs(60))] } else { Vec::new() };
    [trouble, vec![Act::Stripe(purchase)], wait, vec![Act::Cal(off)]].concat()
}

fn share(effect: Effect) -> Vec<Act> {
    let fault = Fault::new(Provider::Stripe, effect).on("transfers.create").times(1);
    vec![Act::Trouble(fault), Act::Stripe(Event::paid("zoe+share-later@example.edu"))]
}

fn absent() -> Vec<Act> {
    let fault = Fault::new(Provider::Cal, refused()).on("bookings.mark_absent");
    let event = CalEvent::sample("AFTER_HOSTS_CAL_VIDEO_NO_SHOW").about(&zoe());
    vec![Act::Trouble(fault), Act::Stripe(zoe()), Act::Pass(8 * 24 * HOUR), Act::Cal(event)]
}

fn not_paid() -> Vec<Act> {
    let unpaid = zoe().session("payment_status", json!("unpaid"));
    let failed = unpaid.clone().kind("checkout.session.async_payment_failed").id("evt_failed");
    vec![Act::Stripe(unpaid), Act::Stripe(failed)]
}

/// A request that was thought lost comes through.
fn given_up() -> Vec<Act> {
    let free = Event::paid("zoe+cal-refused@example.edu").free();
    let late = CalEvent::sample("BOOKING_CREATED").about(&free);
    vec![Act::Stripe(free), Act::Pass(Duration::from_secs(60)), Act::Unheard(late.body())]
}

fn refunded_unheard() -> Act {
    let intent = zoe().0["data"]["object"]["payment_intent"].clone();
    let refund = json!({"id": "re_1", "amount": 5000, "currency": "usd", "status": "succeeded",
        "payment_intent": intent, "metadata": {}});
    Act::Unheard(Event::told("evt_refund", "refund.created", 1_793_873_000, refund).body())
}

fn charge_refunded() -> Event {
    let intent = zoe().0["data"]["object"]["payment_intent"].clone();
    let charge = json!({"id": "ch_1", "amount_refunded": 5000, "payment_intent": intent});
    Event::told("evt_charge", "charge.refunded", 1_793_873_001, charge)
}

/// All that is scheduled comes round, with something to be fetched.
fn night() -> Vec<Act> {
    vec![Act::Schedules, Act::Unheard(zoe().body()), Act::Pass(25 * HOUR)]
}

fn untold() -> Vec<Act> {
    let trouble = [Provider::Alert, Provider::Mail]
        .map(|provider| Act::Trouble(Fault::new(provider, Effect::ErrorBefore { status: 503 }).times(12)));
    let refused = Event::paid("zoe+cal-refused+refund-refused@example.edu");
    let mut acts: Vec<Act> = trouble.into();
    acts.extend([Act::Stripe(refused), Act::TestAlert]);
    acts
}

/// Cases that follow each other are told of together.
fn many_cases() -> Vec<Act> {
    let unusable = |number: usize| {
        let name = |kind: &str| json!(format!("{kind}_{number}"));
        let event = zoe().id(&format!("evt_{number}")).session("id", name("cs"));
        event.session("payment_intent", name("pi")).metadata("startTime", json!("soon"))
    };
    (0..3).flat_map(|number| [Act::Stripe(unusable(number)), Act::Pass(Duration::from_secs(1))]).collect()
}
