//! The rules for money, held against the ledgers of the providers.

use crate::support::newest;
use discuno::model::payment::Payment;
use discuno::sandbox::ledger::Ledger;
use discuno::sim::money_violation;
use discuno::store::{Shared, Subject};

/// More payments than any test makes.
pub(crate) const ALL: u32 = 200_000;

/// Every payment has come to a right end: one live booking, a full refund, or a case that a person was told of.
pub(crate) async fn assert_right(store: &Shared, theirs: &Ledger, context: &str) {
    assert_these(store, theirs, context, |_| true).await;
}

/// The same of these payments only.
pub(crate) async fn assert_these(store: &Shared, theirs: &Ledger, context: &str, these: impl Fn(&Payment) -> bool) {
    for payment in newest(store, ALL).await.into_iter().filter(these) {
        let story = store.story(Subject::Payment(payment.id)).await.unwrap();
        assert_eq!(money_violation(&payment, &story, theirs), None, "{context}");
    }
}
