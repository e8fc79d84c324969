//! Faults that are switched on from outside.

use serde::{Deserialize, Serialize};

use crate::sandbox::call::Call;

/// Whose requests are hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// `/stripe/v1/…`
    Stripe,
    /// `/cal/v2/…`
    Cal,
    /// `/posthog/…`
    Posthog,
    /// `/resend/…`
    Mail,
    /// `/alerts`
    Alert,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Nothing is done, and `status` is answered.
    ErrorBefore {
        /// The status code.
        status: u16,
    },
    /// The request takes effect, and `status` is answered all the same. Stripe stores and replays it under the key.
    ErrorAfter {
        /// The status code.
        status: u16,
    },
    /// Nothing is done, and the connection breaks.
    DropBefore,
    /// The request takes effect, and the connection breaks.
    DropAfter,
    /// Nothing is done, and there is no answer for an hour.
    HangBefore,
    /// The request takes effect, and there is no answer for an hour.
    HangAfter,
    /// The request waits, and is then served as usual.
    Slow {
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// The request is served from a copy that is behind: a list of Cal.com's lacks the bookings that were made since.
    Behind {
        /// By how much, in milliseconds.
        millis: u64,
    },
    /// 429, in the provider's own shape.
    RateLimited {
        /// When to come back, in the provider's own header.
        retry_after_secs: u64,
    },
    /// A definite no, in the provider's own shape. Stripe stores and replays it under the key.
    Refuse {
        /// The status code.
        status: u16,
        /// The provider's word for it.
        code: String,
        /// What it says to people.
        message: String,
    },
}

impl Effect {
    /// In a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ErrorBefore { .. } => "error_before",
            Self::ErrorAfter { .. } => "error_after",
            Self::DropBefore => "drop_before",
            Self::DropAfter => "drop_after",
            Self::HangBefore => "hang_before",
            Self::HangAfter => "hang_after",
            Self::Slow { .. } => "slow",
            Self::Behind { .. } => "behind",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refuse { .. } => "refuse",
        }
    }
}

/// One fault: which requests, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Whose requests.
    pub provider: Provider,
    /// Only this one, such as `refunds.create`; any if absent.
    #[serde(default)]
    pub operation: Option<String>,
    /// Only requests whose path, query or decoded body holds this text.
    #[serde(default)]
    pub matching: Option<String>,
    /// What becomes of them.
    pub effect: Effect,
    /// How many requests are hit before the fault goes away; all if absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    pub skip: u32,
}

impl Fault {
    /// A fault that hits every request of `provider`.
    pub const fn new(provider: Provider, effect: Effect) -> Self {
        Self { provider, operation: None, matching: None, effect, times: None, skip: 0 }
    }

    /// The same, for one operation only.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// The same, for requests that hold `text` only.
    #[must_use]
    pub fn matching(mut self, text: &str) -> Self {
        self.matching = Some(text.to_owned());
        self
    }

    /// The same, going away after so many hits.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, letting so many requests pass first.
    #[must_use]
    pub const fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// The faults that are on, oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn push(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push(fault);
        }
    }

    pub(super) fn lift(&mut self, fault: &Fault) {
        self.0.retain(|one| one != fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// What the oldest fault that fits does to this request; it is used up by one.
    pub(super) fn strike(&mut self, provider: Provider, operation: &str, call: &Call) -> Option<Effect> {
        let mut text = None;
        let index = self.0.iter_mut().position(|fault| {
            let fits = fault.provider == provider
                && fault.operation.as_deref().is_none_or(|wanted| wanted == operation)
                && fault.matching.as_deref().is_none_or(|part| text.get_or_insert_with(|| call.text()).contains(part));
            if fits && fault.skip > 0 {
                fault.skip -= 1;
                return false;
            }
            fits
        })?;
        let fault = self.0.get_mut(index)?;
        let effect = fault.effect.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(index);
            }
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Effect, Fault, Provider};
    use crate::sandbox::trial::Trial;
    use crate::transport::http::Http;
    use crate::transport::{Error, Transport};

    const ALERT: &str = r#"{"case":7}"#;
    const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

    #[tokio::test(start_paused = true)]
    async fn a_cut_connection_is_a_reset_and_the_effect_stays() {
        let trial = Trial::new();
        trial.sandbox.inject(Fault::new(Provider::Alert, Effect::DropAfter).on("alerts.post").times(1));
        trial.sandbox.inject(Fault::new(Provider::Alert, Effect::DropBefore).times(1));
        for posts in [1, 1] {
            let cut = trial.try_post("/alerts", ALERT, &JSON).await;
            assert!(matches!(cut, Err(Error::Reset(_))), "{cut:?}");
            assert_eq!(trial.sandbox.ledger().alerts.posts.len(), posts);
        }
        assert_eq!(trial.try_post("/alerts", ALERT, &JSON).await.unwrap().status, 200);
        let books = trial.sandbox.ledger().alerts;
        let statuses: Vec<_> = books.requests.iter().map(|exchange| exchange.status).collect();
        assert_eq!((statuses, books.request_count), (vec![None, None, Some(200)], 3));
    }

    #[tokio::test]
    async fn a_cut_connection_is_a_reset_over_a_real_socket_too() {
        let trial = Trial::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/alerts", listener.local_addr().unwrap());
        let server = tokio::spawn(axum::serve(listener, trial.sandbox.router()).into_future());
        let http = Http::new().unwrap();
        let post = || http.send(Trial::request("POST", &address, ALERT, &JSON));
        assert_eq!(post().await.unwrap().status, 200);
        for effect in [Effect::DropAfter, Effect::DropBefore] {
            trial.sandbox.inject(Fault::new(Provider::Alert, effect).times(1));
            let cut = post().await;
            assert!(matches!(cut, Err(Error::Reset(_))), "{cut:?}");
        }
        let books = trial.sandbox.ledger().alerts;
        assert_eq!((books.posts.len(), books.request_count), (2, 3), "the client must not have tried again by itself");
        server.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_lasts_longer_than_any_caller_waits() {
        let trial = Trial::new();
        for (effect, posts) in [(Effect::HangBefore, 0), (Effect::HangAfter, 1), (Effect::Slow { millis: 60_000 }, 1)] {
            trial.sandbox.inject(Fault::new(Provider::Alert, effect).times(1));
            let late = trial.try_post("/alerts", ALERT, &JSON).await;
            assert!(matches!(late, Err(Error::TimedOut { sent: true, .. })), "{late:?}");
            assert_eq!(trial.sandbox.ledger().alerts.posts.len(), posts);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_waits_hits_so_often_and_only_what_matches() {
        let trial = Trial::new();
        let fault =
            Fault::new(Provider::Alert, Effect::ErrorBefore { status: 503 }).matching("\"case\":7").skip(1).times(1);
        let posted = trial.post_json("/sandbox/faults", &serde_json::to_value(&fault).unwrap(), &[]).await;
        assert_eq!(posted.status, 201);
        assert_eq!(trial.try_post("/alerts", "{}", &JSON).await.unwrap().status, 200);
        for status in [200, 503, 200] {
            assert_eq!(trial.try_post("/alerts", ALERT, &JSON).await.unwrap().status, status);
        }
        assert_eq!(Trial::json(&trial.get("/sandbox/faults").await), json!([]));
        let ledger = Trial::json(&trial.get("/sandbox/ledger").await);
        assert_eq!(ledger["alerts"]["requests"][2]["effect"], json!({"kind": "error_before", "status": 503}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_finds_decoded_text_in_a_form() {
        let trial = Trial::new();
        trial.paid("pi_1", "zoe@example.edu");
        let refuse = Effect::Refuse { status: 400, code: "insufficient_funds".to_owned(), message: "No.".to_owned() };
        trial
            .sandbox
            .inject(Fault::new(Provider::Stripe, refuse).on("refunds.create").matching("metadata[refundId]=r 1"));
        let body = "payment_intent=pi_1&metadata%5BrefundId%5D=r+1";
        let refused = trial.refund(body, Some("k")).await;
        assert_eq!(Trial::json(&refused)["error"]["code"], "insufficient_funds");
        trial.sandbox.clear_faults();
        assert_eq!(trial.refund(body, Some("k")).await.headers["idempotent-replayed"], "true");
        assert_eq!(trial.refund(body, Some("k2")).await.status, 200);
    }
}
