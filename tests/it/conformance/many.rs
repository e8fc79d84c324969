//! Several processes at once.

use discuno::model::booking::{BookingStatus, NewBooking};
use discuno::model::payment::PaymentFact;
use discuno::model::refund::RefundOrigin;
use discuno::store::Subject;
use discuno::store::change::{Change, PaymentKey, RefundIntent};
use discuno::store::filter::Filter;
use discuno::store::order::{Deed, Order};
use futures_util::future::join_all;

use crate::conformance::ledger::whole;
use crate::conformance::subjects::{USD, paid, plan};
use crate::conformance::{Bench, NOW};
use crate::support::newest;

pub(crate) async fn refunds_wanted_by_two_processes_at_once_stay_within_what_was_paid(bench: Bench) {
    let other = bench.opened_again();
    for round in 0..6 {
        bench.store.ingest(paid(&round.to_string()), NOW).await.unwrap();
        let payment = newest(&bench.store, 1).await[0].clone();
        let part = RefundIntent { amount: Some(USD(2000)), origin: RefundOrigin::Operator, ..whole(payment.id) };
        let wishes = (0..12).map(|wish| {
            let store = if wish % 2 == 0 { &bench.store } else { &other };
            store.intend_refund(None, if wish % 5 == 0 { whole(payment.id) } else { part.clone() }, NOW)
        });
        join_all(wishes).await;
        let story = other.story(Subject::Payment(payment.id)).await.unwrap();
        let wanted: i64 = story.refunds.iter().map(|refund| refund.amount.minor).sum();
        assert!(
            wanted > payment.amount.minor - 2000 && wanted <= payment.amount.minor,
            "{wanted}: {:?}",
            story.refunds
        );
    }
}

pub(crate) async fn what_waits_for_a_payment_is_found_by_whoever_makes_it_at_the_same_time(bench: Bench) {
    let other = bench.opened_again();
    for round in 0..20 {
        let name = round.to_string();
        let about = Change::About(PaymentKey::Session(format!("cs_{name}")));
        let early = plan(&format!("evt_early_{name}"), vec![about, Change::Learn(PaymentFact::Paid)]);
        let (early, payment) = tokio::join!(bench.store.ingest(early, NOW), other.ingest(paid(&name), NOW));
        early.unwrap();
        payment.unwrap();
    }
    let waiting = Filter { stuck: Some(NOW.plus(crate::conformance::LEASE)), ..Filter::newest(100) };
    let waiting = bench.store.events(waiting).await.unwrap();
    assert!(waiting.is_empty(), "{waiting:?}");
}

pub(crate) async fn the_audit_trail_of_two_processes_is_one_chain(bench: Bench) {
    let other = bench.opened_again();
    let look = |number: usize| Order {
        actor: "mia".to_owned(),
        reason: None,
        deed: Deed::Reveal { subject: format!("pay_{number}"), payment: None, shown: serde_json::json!({}) },
    };
    let acts = (0..16).map(|number| {
        let store = if number % 2 == 0 { &bench.store } else { &other };
        store.operate(look(number), NOW)
    });
    for act in join_all(acts).await {
        act.unwrap();
    }
    assert_eq!(bench.store.acts(Filter::newest(100)).await.unwrap().len(), 16);
    assert_eq!(other.broken_act().await.unwrap(), None);
}

pub(crate) async fn what_calendars_say_in_two_processes_at_once_comes_to_the_same(bench: Bench) {
    let other = bench.opened_again();
    for round in 0..10_i64 {
        let booking = |status| NewBooking {
            uid: format!("uid{round}"),
            cal_id: 1000 + round,
            status,
            event_type_id: None,
            start: NOW,
            end: NOW.plus(crate::conformance::LEASE),
            title: "a session".to_owned(),
            meeting_url: None,
            organizer: None,
            attendees: vec![],
            mentor_user_id: None,
            actor_user_id: None,
            replaces: None,
            cancelled_by: None,
            reason: None,
        };
        let made = plan(&format!("evt_made_{round}"), vec![Change::Booking(booking(BookingStatus::Accepted))]);
        let gone = plan(&format!("evt_gone_{round}"), vec![Change::Booking(booking(BookingStatus::Cancelled))]);
        let (made, gone) = tokio::join!(bench.store.ingest(made, NOW), other.ingest(gone, NOW));
        made.unwrap();
        gone.unwrap();
        let absence = Change::Absence { uid: (1000 + round).to_string(), host: Some(true), attendee: None, at: NOW };
        bench.store.ingest(plan(&format!("evt_absent_{round}"), vec![absence]), NOW).await.unwrap();
        let known = other.booking(&format!("uid{round}")).await.unwrap().unwrap();
        assert_eq!((known.facts.status, known.host_absent), (BookingStatus::Cancelled, true));
    }
}
