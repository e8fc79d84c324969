//! Arrivals.

use discuno::model::event::Source;
use discuno::model::id::RefundId;
use discuno::model::payment::{PaymentFact, PaymentStatus};
use discuno::model::refund::RefundFact;
use discuno::store::change::{Change, PaymentKey};
use discuno::store::error::Error;
use discuno::store::{Ingested, Subject};

use crate::conformance::subjects::{event, paid, payment, plan};
use crate::conformance::{Bench, NOW};
use crate::support::newest;

pub(crate) async fn an_arrival_is_kept_with_all_that_it_starts(bench: Bench) {
    let ingested = bench.store.ingest(paid("1"), NOW).await.unwrap();
    let Ingested::New { event, payment: Some(payment), payment_created: true } = ingested else {
        panic!("{ingested:?}")
    };
    let kept = bench.store.event(event).await.unwrap();
    assert_eq!((kept.external_id.as_str(), kept.received_at, kept.payment), ("evt_1", NOW, Some(payment)));
    let story = bench.store.story(Subject::Payment(payment)).await.unwrap();
    assert_eq!((story.events.len(), story.runs.len()), (1, 1));
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Paid);
    let claimed = bench.claim_one(NOW).await;
    assert_eq!((claimed.run.workflow.as_str(), claimed.run.payment), ("checkout", Some(payment)));
    assert!(claimed.input.get().contains("\"session_id\":\"cs_1\""), "its input is the checkout: {}", claimed.input);
}

pub(crate) async fn a_repeated_arrival_starts_nothing_twice(bench: Bench) {
    let first = bench.store.ingest(paid("1"), NOW).await.unwrap();
    let Ingested::New { event, .. } = first else { panic!("{first:?}") };
    let again = bench.store.ingest(paid("1"), NOW).await.unwrap();
    assert_eq!(again, Ingested::Duplicate { event, differs: false });
    // The same session under another event id.
    let mut other = paid("1");
    "evt_other".clone_into(&mut other.event.external_id);
    let other = bench.store.ingest(other, NOW).await.unwrap();
    assert!(matches!(other, Ingested::New { payment_created: false, .. }), "{other:?}");
    assert_eq!(bench.claim(10, NOW).await.len(), 1);
    assert_eq!(newest(&bench.store, 10).await.len(), 1);
}

pub(crate) async fn a_known_id_with_another_body_changes_nothing(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    let mut forged = paid("2");
    forged.event = event("evt_1");
    forged.event.body_sha256 = [99; 32];
    let answer = bench.store.ingest(forged, NOW).await.unwrap();
    assert!(matches!(answer, Ingested::Duplicate { differs: true, .. }), "{answer:?}");
    assert_eq!(newest(&bench.store, 10).await.len(), 1);
}

pub(crate) async fn the_same_id_from_another_sender_is_another_event(bench: Bench) {
    bench.store.ingest(plan("evt_1", vec![]), NOW).await.unwrap();
    let mut other = plan("evt_1", vec![]);
    other.event.source = Source::Cal;
    assert!(matches!(bench.store.ingest(other, NOW).await.unwrap(), Ingested::New { .. }));
}

pub(crate) async fn of_a_plan_that_breaks_a_rule_nothing_is_kept(bench: Bench) {
    let mut broken = paid("1");
    broken.changes.push(Change::RefundLearned {
        refund: RefundId(7),
        fact: RefundFact::Pending,
        stripe_refund_id: None,
        failure: None,
    });
    assert!(bench.store.ingest(broken, NOW).await.is_err());
    assert!(newest(&bench.store, 10).await.is_empty());
    assert!(bench.claim(10, NOW).await.is_empty());
    assert!(matches!(bench.store.resolve("evt_1").await, Err(Error::NotFound(_))));
    // And the store goes on.
    assert!(matches!(bench.store.ingest(paid("1"), NOW).await.unwrap(), Ingested::New { .. }));
}

pub(crate) async fn what_was_acknowledged_is_there_when_opened_again(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    let again = bench.opened_again();
    assert_eq!(newest(&again, 10).await.len(), 1);
    let answer = again.ingest(paid("1"), NOW).await.unwrap();
    assert!(matches!(answer, Ingested::Duplicate { differs: false, .. }), "{answer:?}");
}

pub(crate) async fn one_of_many_equal_arrivals_at_once_is_new(bench: Bench) {
    let arrivals = (0..32).map(|_| bench.store.ingest(paid("1"), NOW));
    let answers = futures_util::future::join_all(arrivals).await;
    let new = answers.iter().filter(|answer| matches!(answer, Ok(Ingested::New { .. }))).count();
    assert_eq!((new, answers.iter().filter(|answer| answer.is_err()).count()), (1, 0));
    assert_eq!(bench.claim(10, NOW).await.len(), 1);
}

pub(crate) async fn what_is_about_an_unknown_payment_is_kept_and_changes_nothing(bench: Bench) {
    let about = |session: &str| Change::About(PaymentKey::Session(session.to_owned()));
    let expired = vec![about("cs_1"), Change::Learn(PaymentFact::Expired)];
    let answer = bench.store.ingest(plan("evt_early", expired.clone()), NOW).await.unwrap();
    assert!(matches!(answer, Ingested::New { payment: None, .. }), "{answer:?}");
    let waiting = plan("evt_1", vec![payment("1", PaymentFact::Unpaid)]);
    bench.store.ingest(waiting, NOW).await.unwrap();
    bench.store.ingest(plan("evt_expired", expired), NOW).await.unwrap();
    assert_eq!(newest(&bench.store, 1).await[0].status, PaymentStatus::Expired);
}
