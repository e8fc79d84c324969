//! Idempotency keys: the first answer is kept, and repeated for a day.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::stripe_object;

const LIFETIME: Duration = Duration::from_hours(24);

/// A key belongs to one account.
type Key = (String, String);

#[derive(Debug)]
struct Stored {
    path: String,
    params: Vec<(String, String)>,
    answer: Answer,
}

/// What was answered under each key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    stored: BTreeMap<Key, Stored>,
    by_age: VecDeque<(Timestamp, Key)>,
}

impl Keys {
    /// The answer that the key of `call` holds already: the first one again, or a refusal.
    pub(super) fn recall(&mut self, call: &Call) -> Option<Answer> {
        self.prune(call.at);
        let key = key(call)?;
        if key.1.len() > 255 {
            return Some(refusal("Idempotency keys may be at most 255 characters long."));
        }
        let stored = self.stored.get(&key)?;
        if stored.path == call.path && stored.params == call.form().sorted() {
            let mut answer = stored.answer.clone().header("idempotent-replayed", "true");
            answer.replayed = true;
            return Some(answer);
        }
        Some(refusal(
            "Keys for idempotent requests can only be used with the same parameters they were first used with.",
        ))
    }

    /// Keeps the answer of a request that was carried out. Answers of the front door (401, 409, 429) are not kept.
    pub(super) fn keep(&mut self, call: &Call, answer: &Answer) {
        let Some(key) = key(call).filter(|_| !matches!(answer.status, 401 | 409 | 429)) else { return };
        let stored = Stored { path: call.path.clone(), params: call.form().sorted(), answer: answer.clone() };
        self.stored.insert(key.clone(), stored);
        self.by_age.push_back((call.at, key));
    }

    fn prune(&mut self, now: Timestamp) {
        while self.by_age.front().is_some_and(|(first_used, _)| now.since(*first_used) >= LIFETIME) {
            if let Some((_, key)) = self.by_age.pop_front() {
                self.stored.remove(&key);
            }
        }
    }
}

fn key(call: &Call) -> Option<Key> {
    let account = call.header("stripe-account").unwrap_or_default();
    Some((account.to_owned(), call.header("idempotency-key")?.to_owned()))
}

fn refusal(message: &str) -> Answer {
    stripe_object::error(400, "idempotency_error", None, None, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use crate::sandbox::fault::{Effect, Fault, Provider};
    use crate::sandbox::trial::Trial;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_key_repeats_the_first_answer_and_does_nothing() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let first = trial.refund("payment_intent=pi_1", Some("k")).await;
        let again = trial.refund("payment_intent=pi_1", Some("k")).await;
        assert_eq!((first.status, &first.body), (StatusCode::OK, &again.body));
        assert_eq!(first.headers.get("idempotent-replayed"), None);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_ne!(first.headers["request-id"], again.headers["request-id"]);
        assert_eq!(trial.sandbox.ledger().stripe.refunds.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn other_parameters_under_the_same_key_are_refused() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        trial.refund("payment_intent=pi_1&amount=100", Some("k")).await;
        let other = trial.refund("payment_intent=pi_1&amount=200", Some("k")).await;
        assert_eq!(other.status, StatusCode::BAD_REQUEST);
        assert_eq!(Trial::json(&other)["error"]["type"], "idempotency_error");
        let reordered = trial.refund("amount=100&payment_intent=pi_1", Some("k")).await;
        assert_eq!(reordered.status, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_forgotten_after_a_day() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        trial.refund("payment_intent=pi_1&amount=100", Some("k")).await;
        tokio::time::advance(Duration::from_hours(24)).await;
        trial.refund("payment_intent=pi_1&amount=100", Some("k")).await;
        assert_eq!(trial.sandbox.ledger().stripe.refunds.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_execution_are_stored_and_those_of_validation_are_not() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let typo = trial.refund("payment_intent=pi_1&amount=abc", Some("k")).await;
        assert_eq!(typo.status, StatusCode::BAD_REQUEST);
        let too_much = trial.refund("payment_intent=pi_1&amount=6000", Some("k")).await;
        assert_eq!(Trial::json(&too_much)["error"]["code"], "amount_too_large");
        let again = trial.refund("payment_intent=pi_1&amount=6000", Some("k")).await;
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }

    #[tokio::test(start_paused = true)]
    async fn a_500_after_the_effect_is_stored_and_a_429_is_not() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let limited = Fault::new(Provider::Stripe, Effect::RateLimited { retry_after_secs: 7 });
        trial.sandbox.inject(limited.on("refunds.create").times(1));
        trial.sandbox.inject(Fault::new(Provider::Stripe, Effect::ErrorAfter { status: 500 }).times(1));
        let limited = trial.refund("payment_intent=pi_1", Some("k")).await;
        assert_eq!((limited.status.as_u16(), &limited.headers["retry-after"]), (429, &"7".parse().unwrap()));
        for replayed in [false, true] {
            let answer = trial.refund("payment_intent=pi_1", Some("k")).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.headers.contains_key("idempotent-replayed"), replayed);
        }
        assert_eq!(trial.sandbox.ledger().stripe.refunded("pi_1"), 5000);
    }
}
