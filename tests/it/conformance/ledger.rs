//! Money, bookings, cases, e-mails.

use std::time::Duration;

use discuno::model::booking::{BookingStatus, NewBooking};
use discuno::model::id::{PaymentId, RefundId};
use discuno::model::mail::NewMail;
use discuno::model::payment::{PaymentFact, PaymentStatus};
use discuno::model::refund::{RefundFact, RefundOrigin, RefundStatus};
use discuno::store::change::{Change, PaymentKey, RefundIntent};
use discuno::store::error::Error;
use discuno::store::{Story, Subject};

use crate::conformance::subjects::{USD, case, paid, payment, plan};
use crate::conformance::{Bench, NOW};
use crate::support::newest;

/// The wish for all that is left.
pub(crate) fn whole(payment: PaymentId) -> RefundIntent {
    let reason = "not booked".to_owned();
    RefundIntent { payment, amount: None, reason, origin: RefundOrigin::Workflow, ceiling: 100 }
}

fn part(payment: PaymentId, minor: i64) -> RefundIntent {
    RefundIntent { amount: Some(USD(minor)), origin: RefundOrigin::Operator, ..whole(payment) }
}

async fn paid_payment(bench: &Bench, name: &str) -> PaymentId {
    bench.store.ingest(paid(name), NOW).await.unwrap();
    newest(&bench.store, 1).await[0].id
}

/// Applies changes to the payment of `cs_<name>`, as an event about it would.
async fn learn(bench: &Bench, name: &str, event: &str, mut changes: Vec<Change>) -> Result<(), Error> {
    changes.insert(0, Change::About(PaymentKey::Session(format!("cs_{name}"))));
    bench.store.ingest(plan(event, changes), NOW).await.map(drop)
}

async fn story(bench: &Bench, payment: PaymentId) -> Story {
    bench.store.story(Subject::Payment(payment)).await.unwrap()
}

fn learned(refund: RefundId, fact: RefundFact) -> Change {
    let stripe_refund_id = (fact != RefundFact::Failed).then(|| format!("re_{}", refund.0));
    Change::RefundLearned { refund, fact, stripe_refund_id, failure: None }
}

/// A part that was refunded in Stripe's dashboard, and came to nothing.
fn failed_in_dashboard() -> Change {
    Change::RefundAdopted {
        stripe_refund_id: "re_dashboard".to_owned(),
        reference: None,
        amount: USD(1500),
        fact: RefundFact::Failed,
    }
}

pub(crate) async fn a_refund_of_the_whole_is_wanted_once(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let first = bench.store.intend_refund(None, whole(id), NOW).await.unwrap();
    let second = bench.store.intend_refund(None, whole(id), NOW).await.unwrap();
    assert_eq!((first.id, first.amount, first.status), (second.id, USD(5000), RefundStatus::Intended));
    assert_eq!(first.reference, "pi_1/1", "from stripe's id, so that it is the same in every database");
}

pub(crate) async fn refunds_never_add_up_to_more_than_was_paid(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    bench.store.intend_refund(None, part(id, 3000), NOW).await.unwrap();
    for minor in [2001, 0, -1] {
        let refused = bench.store.intend_refund(None, part(id, minor), NOW).await;
        assert!(matches!(refused, Err(Error::Illegal(_))), "{minor}: {refused:?}");
    }
    let rest = bench.store.intend_refund(None, part(id, 2000), NOW).await.unwrap();
    let adopted = Change::RefundAdopted {
        stripe_refund_id: "re_x".to_owned(),
        reference: None,
        amount: USD(1),
        fact: RefundFact::Succeeded,
    };
    let sent = Change::RefundSent { refund: rest.id, request: "amount=2000".to_owned(), renew: false };
    learn(&bench, "1", "evt_sent", vec![sent]).await.unwrap();
    learn(&bench, "1", "evt_adopted", vec![adopted.clone()]).await.unwrap();
    let story = story(&bench, id).await;
    let states: Vec<RefundStatus> = story.refunds.iter().map(|refund| refund.status).collect();
    assert_eq!(states, [RefundStatus::Failed, RefundStatus::Sent, RefundStatus::Succeeded], "a mere wish gives way");
    let more = Change::RefundAdopted {
        stripe_refund_id: "re_y".to_owned(),
        reference: None,
        amount: USD(3000),
        fact: RefundFact::Succeeded,
    };
    learn(&bench, "1", "evt_more", vec![more]).await.unwrap();
    let story = self::story(&bench, id).await;
    assert_eq!((story.refunds.len(), story.cases.len()), (3, 1), "what was sent may be the same money: a person looks");
}

pub(crate) async fn a_free_payment_has_nothing_to_pay_back(bench: Bench) {
    let Change::Payment(mut free) = payment("1", PaymentFact::Paid) else { unreachable!() };
    free.payment_intent = None;
    free.amount = USD(0);
    bench.store.ingest(plan("evt_1", vec![Change::Payment(free)]), NOW).await.unwrap();
    let id = newest(&bench.store, 1).await[0].id;
    assert!(matches!(bench.store.intend_refund(None, whole(id), NOW).await, Err(Error::Illegal(_))));
}

pub(crate) async fn automatic_refunds_stop_at_the_ceiling_and_those_of_people_do_not(bench: Bench) {
    let mut last = PaymentId(0);
    for number in 0..4 {
        last = paid_payment(&bench, &number.to_string()).await;
        let intent = RefundIntent { ceiling: 3, ..whole(last) };
        assert_eq!(bench.store.intend_refund(None, intent, NOW).await.is_ok(), number < 3, "{number}");
    }
    assert!(bench.store.intend_refund(None, part(last, 5000), NOW).await.is_ok());
    let next = paid_payment(&bench, "later").await;
    let intent = RefundIntent { ceiling: 3, ..whole(next) };
    assert!(bench.store.intend_refund(None, intent, NOW.plus(Duration::from_secs(3600))).await.is_ok());
}

pub(crate) async fn the_payment_follows_the_sum_of_its_refunds(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let first = bench.store.intend_refund(None, part(id, 3000), NOW).await.unwrap().id;
    let second = bench.store.intend_refund(None, part(id, 2000), NOW).await.unwrap().id;
    for (number, (change, status)) in [
        (learned(first, RefundFact::Succeeded), PaymentStatus::Paid),
        (learned(second, RefundFact::Pending), PaymentStatus::Refunding),
        (learned(second, RefundFact::Succeeded), PaymentStatus::Refunded),
        (learned(second, RefundFact::Pending), PaymentStatus::Refunded),
        (learned(second, RefundFact::Failed), PaymentStatus::Attention),
    ]
    .into_iter()
    .enumerate()
    {
        learn(&bench, "1", &format!("evt_{number}_of_refund"), vec![change]).await.unwrap();
        assert_eq!(story(&bench, id).await.payment.unwrap().status, status, "{number}");
    }
}

pub(crate) async fn an_old_failure_told_again_takes_nothing_back_from_a_refund_under_way(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let old = failed_in_dashboard();
    learn(&bench, "1", "evt_old", vec![old.clone()]).await.unwrap();
    let whole = bench.store.intend_refund(None, whole(id), NOW).await.unwrap().id;
    learn(&bench, "1", "evt_pending", vec![learned(whole, RefundFact::Pending)]).await.unwrap();
    learn(&bench, "1", "evt_again", vec![old]).await.unwrap();
    assert_eq!(story(&bench, id).await.payment.unwrap().status, PaymentStatus::Refunding);
    learn(&bench, "1", "evt_late", vec![learned(whole, RefundFact::Failed)]).await.unwrap();
    let story = story(&bench, id).await;
    // Each failure has one.
    assert_eq!((story.payment.unwrap().status, story.cases.len()), (PaymentStatus::Attention, 2));
}

pub(crate) async fn a_failure_told_again_settled_when_it_was_first_told(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let failed = failed_in_dashboard();
    learn(&bench, "1", "evt_failed", vec![failed.clone()]).await.unwrap();
    let about = Change::About(PaymentKey::Session("cs_1".to_owned()));
    let later = NOW.plus(Duration::from_hours(1));
    bench.store.ingest(plan("evt_again", vec![about, failed]), later).await.unwrap();
    assert_eq!(story(&bench, id).await.refunds[0].settled_at, Some(NOW));
}

pub(crate) async fn a_refund_found_at_stripe_is_taken_over_once(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    for (event, fact) in
        [("evt_a", RefundFact::Pending), ("evt_b", RefundFact::Succeeded), ("evt_c", RefundFact::Pending)]
    {
        let change =
            Change::RefundAdopted { stripe_refund_id: "re_1".to_owned(), reference: None, amount: USD(5000), fact };
        learn(&bench, "1", event, vec![change]).await.unwrap();
    }
    let story = story(&bench, id).await;
    assert_eq!((story.refunds.len(), story.refunds[0].status), (1, RefundStatus::Succeeded));
    assert_eq!(
        (story.refunds[0].origin, story.payment.unwrap().status),
        (RefundOrigin::Stripe, PaymentStatus::Refunded)
    );
}

pub(crate) async fn a_new_generation_has_a_key_of_its_own(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let refund = bench.store.intend_refund(None, whole(id), NOW).await.unwrap().id;
    let mut keys = Vec::new();
    for (event, renew) in [("evt_a", false), ("evt_b", false), ("evt_c", true)] {
        let sent = Change::RefundSent { refund, request: "amount=5000".to_owned(), renew };
        learn(&bench, "1", event, vec![sent]).await.unwrap();
        keys.push(bench.store.refund(refund).await.unwrap().idempotency_key());
    }
    assert_eq!(keys[0], keys[1], "asking again is the same request");
    assert_ne!(keys[1], keys[2]);
    learn(&bench, "1", "evt_d", vec![learned(refund, RefundFact::Succeeded)]).await.unwrap();
    let late = Change::RefundSent { refund, request: String::new(), renew: true };
    assert!(learn(&bench, "1", "evt_e", vec![late]).await.is_err(), "a settled refund is never asked for again");
}

pub(crate) async fn a_case_is_opened_once_for_each_cause(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    learn(&bench, "1", "evt_a", vec![case("unclear/1")]).await.unwrap();
    learn(&bench, "1", "evt_b", vec![case("unclear/1"), case("unclear/2")]).await.unwrap();
    let story = story(&bench, id).await;
    assert_eq!((story.cases.len(), story.payment.unwrap().status), (2, PaymentStatus::Attention));
    let alerts = story.runs.iter().filter(|(run, _)| run.workflow == "alert").count();
    assert_eq!(alerts, 2, "a person is told of each");
    assert!(story.cases[0].alerted_at.is_none());
    learn(&bench, "1", "evt_c", vec![Change::CaseAlerted(story.cases[0].id)]).await.unwrap();
    assert_eq!(bench.store.case(story.cases[0].id).await.unwrap().alerted_at, Some(NOW));
}

pub(crate) async fn an_e_mail_is_written_once_for_each_key(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let letter = |subject: &str| {
        Change::Mail(NewMail {
            key: "booking-failed/pi_1".to_owned(),
            kind: "booking-failed".to_owned(),
            to: "zoe@example.edu".to_owned(),
            subject: subject.to_owned(),
            html: String::new(),
            text: String::new(),
        })
    };
    learn(&bench, "1", "evt_a", vec![letter("first")]).await.unwrap();
    learn(&bench, "1", "evt_b", vec![letter("second")]).await.unwrap();
    let story = story(&bench, id).await;
    assert_eq!((story.mails.len(), story.mails[0].letter.subject.as_str()), (1, "first"));
    assert_eq!(story.runs.iter().filter(|(run, _)| run.workflow == "send-email").count(), 1);
}

pub(crate) async fn what_contradicts_what_is_known_opens_a_case(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let back = Change::RefundAdopted {
        stripe_refund_id: "re_1".to_owned(),
        reference: None,
        amount: USD(5000),
        fact: RefundFact::Succeeded,
    };
    learn(&bench, "1", "evt_a", vec![back]).await.unwrap();
    learn(&bench, "1", "evt_b", vec![Change::Learn(PaymentFact::Booked)]).await.unwrap();
    let story = story(&bench, id).await;
    assert_eq!((story.payment.unwrap().status, story.cases.len()), (PaymentStatus::Refunded, 1));
}

pub(crate) async fn a_refund_is_recognised_by_its_mark_before_its_answer_is_known(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let refund = bench.store.intend_refund(None, whole(id), NOW).await.unwrap();
    let sent = Change::RefundSent { refund: refund.id, request: "amount=5000".to_owned(), renew: false };
    learn(&bench, "1", "evt_sent", vec![sent]).await.unwrap();
    let seen = Change::RefundAdopted {
        stripe_refund_id: "re_1".to_owned(),
        reference: Some(refund.reference),
        amount: USD(5000),
        fact: RefundFact::Pending,
    };
    learn(&bench, "1", "evt_seen", vec![seen]).await.unwrap();
    let story = story(&bench, id).await;
    assert_eq!((story.refunds.len(), story.refunds[0].status), (1, RefundStatus::Pending));
    assert_eq!(story.refunds[0].stripe_refund_id.as_deref(), Some("re_1"));
}

pub(crate) async fn a_second_live_booking_of_one_payment_is_left_to_a_person(bench: Bench) {
    let id = paid_payment(&bench, "1").await;
    let booking = |uid: &str, status| {
        Change::Booking(NewBooking {
            uid: uid.to_owned(),
            cal_id: 1,
            status,
            event_type_id: Some(7),
            start: NOW,
            end: NOW,
            title: String::new(),
            meeting_url: None,
            organizer: None,
            attendees: Vec::new(),
            mentor_user_id: None,
            actor_user_id: None,
            replaces: None,
            cancelled_by: None,
            reason: None,
        })
    };
    learn(&bench, "1", "evt_a", vec![booking("one", BookingStatus::Accepted)]).await.unwrap();
    learn(&bench, "1", "evt_b", vec![booking("two", BookingStatus::Accepted)]).await.unwrap();
    let known = story(&bench, id).await;
    assert_eq!((known.bookings.len(), known.cases.len()), (1, 1));
    learn(&bench, "1", "evt_c", vec![booking("one", BookingStatus::Cancelled)]).await.unwrap();
    learn(&bench, "1", "evt_d", vec![booking("two", BookingStatus::Accepted)]).await.unwrap();
    learn(&bench, "1", "evt_e", vec![booking("one", BookingStatus::Accepted)]).await.unwrap();
    let known = story(&bench, id).await;
    let states: Vec<BookingStatus> = known.bookings.iter().map(|booking| booking.facts.status).collect();
    assert_eq!(states, [BookingStatus::Cancelled, BookingStatus::Accepted], "what is called off stays called off");
}
