//! The rules for money, held against the ledgers of the providers.

use crate::support::newest;
use discuno::model::payment::{Payment, PaymentStatus};
use discuno::sandbox::ledger::Ledger;
use discuno::store::{Shared, Story, Subject};

/// More payments than any test makes.
pub(crate) const ALL: u32 = 10_000;

/// Every payment has come to a right end: one live booking, a full refund, or a case that a person was told of.
pub(crate) async fn assert_right(store: &Shared, theirs: &Ledger, context: &str) {
    assert_these(store, theirs, context, |_| true).await;
}

/// The same of these payments only.
pub(crate) async fn assert_these(store: &Shared, theirs: &Ledger, context: &str, these: impl Fn(&Payment) -> bool) {
    for payment in newest(store, ALL).await.into_iter().filter(these) {
        let story = store.story(Subject::Payment(payment.id)).await.unwrap();
        assert_payment(&payment, &story, theirs, &format!("{context}: {} {}", payment.id, payment.status));
    }
}

fn assert_payment(payment: &Payment, story: &Story, theirs: &Ledger, context: &str) {
    let reference = payment.payment_intent.as_deref().unwrap_or(&payment.session_id);
    let missed: Vec<&str> =
        story.bookings.iter().filter(|booking| booking.host_absent).map(|booking| booking.facts.uid.as_str()).collect();
    let live = theirs
        .cal
        .bookings
        .iter()
        .filter(|booking| booking.status == "accepted" && !missed.contains(&booking.uid.as_str()))
        .filter(|booking| {
            let known = story.bookings.iter().any(|ours| ours.facts.uid == booking.uid);
            known || booking.metadata.get("paymentId").is_some_and(|id| id == reference)
        })
        .count();
    let refunded = payment.payment_intent.as_deref().map_or(0, |intent| theirs.stripe.refunded(intent));
    let told = story.cases.iter().any(|case| case.closed_at.is_none() && case.alerted_at.is_some());
    assert!(live <= 1, "{context}: M2, {live} live bookings");
    assert!(refunded <= payment.amount.minor, "{context}: M3, {refunded} paid back");
    assert!(live == 0 || refunded == 0 || told, "{context}: M2, booked and refunded");
    let ours: i64 = story
        .refunds
        .iter()
        .filter(|refund| refund.stripe_refund_id.is_some() && refund.status.holds_money())
        .map(|refund| refund.amount.minor)
        .sum();
    assert!(told || ours == refunded, "{context}: M4, ours {ours}, theirs {refunded}");
    match payment.status {
        PaymentStatus::Booked => assert!(live == 1 || told, "{context}: M2, booked and no session stands"),
        PaymentStatus::Refunded | PaymentStatus::Refunding => {
            assert!(told || live == 0, "{context}: M2, refunded and the session stands");
            assert_eq!(refunded, payment.amount.minor, "{context}: M2");
        }
        PaymentStatus::Attention => {
            assert!(told, "{context}: M2, nobody was told of {:?}; {:?}", story.cases, story.runs);
        }
        PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Awaiting => {
            assert_eq!((live, refunded), (0, 0), "{context}: M7");
        }
        PaymentStatus::Paid => panic!("{context}: M2, the payment has no end"),
    }
}
