//! Stands before one provider: how many calls at once, how many a second, and none while it is down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::model::failure::{BREAKER_OPEN, THROTTLED};
use crate::model::pause::PAUSED;
use crate::observe::metrics::Metrics;
use crate::provider::ProviderName;
use crate::provider::retry_after::{CAL_BLOCK, wait};
use crate::transport::{Error, Request, Response, Transport};

/// How much one provider is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls in flight.
    pub concurrency: usize,
    /// Calls a second over time; none for no limit.
    pub per_second: Option<u32>,
    /// Calls at once after a pause.
    pub burst: u32,
    /// How long a 429 that does not say keeps every call away.
    pub block: Duration,
    /// Whether a call that would wait for long comes again later instead: whoever makes it holds a place in its worker that others
    /// need. Only where that is all that its run asks for: whoever has to look again first asks for more than before.
    pub gives_way: bool,
}

impl Limits {
    /// Live accounts are allowed 100 calls a second, and 25 for each endpoint (docs.stripe.com/rate-limits).
    pub const STRIPE: Self =
        Self { concurrency: 32, per_second: Some(20), burst: 20, block: Duration::ZERO, gives_way: false };
    /// An OAuth client is allowed 500 calls a minute (cal.com/docs/api-reference/v2).
    pub const CAL: Self = Self { concurrency: 16, per_second: Some(8), burst: 40, block: CAL_BLOCK, gives_way: false };
    /// No limit is documented for ingestion.
    pub const POSTHOG: Self =
        Self { concurrency: 32, per_second: Some(200), burst: 200, block: Duration::ZERO, gives_way: false };
    /// Five calls a second for each team (resend.com/docs).
    pub const MAIL: Self =
        Self { concurrency: 5, per_second: Some(5), burst: 5, block: Duration::ZERO, gives_way: true };
    /// For the sandbox, which has none.
    pub const NONE: Self =
        Self { concurrency: 1024, per_second: None, burst: 1, block: Duration::ZERO, gives_way: false };
}

/// Failures in a row after which a provider counts as down.
const TRIP: u32 = 8;
/// How long it is left alone before one call tries again.
const COOL_DOWN: Duration = Duration::from_secs(15);
/// The longest that one 429 keeps every call away, whatever it asks for. No less than Cal.com's block: whoever calls sooner is
/// refused too, and uses up a try.
const LONGEST_BLOCK: Duration = Duration::from_secs(60);

/// What a call waits for at most that gives way.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// How often a run looks whether what it needs goes on.
pub(super) const PAUSE_LOOK: Duration = Duration::from_secs(20);

struct State {
    /// What the rate has left, and when that was so.
    tokens: f64,
    counted_at: Instant,
    /// When the last of those that gave way is to come again.
    last_turn: Instant,
    failures: u32,
    /// Down, and left alone until then.
    closed_until: Option<Instant>,
    /// What a 429 asked for: a call that was under way then does not end it.
    blocked_until: Instant,
}

/// Whether a person has stopped a provider.
#[async_trait]
pub trait Valve: Send + Sync + 'static {
    /// Asked before every call.
    async fn is_paused(&self, provider: ProviderName) -> bool;
}

/// A transport with limits and a breaker of its own.
pub struct Gate {
    inner: Arc<dyn Transport>,
    limits: Limits,
    valve: Option<(ProviderName, Arc<dyn Valve>)>,
    metrics: Option<(ProviderName, Metrics)>,
    places: Semaphore,
    state: Mutex<State>,
}

impl Gate {
    /// Stands before `inner`.
    pub fn new(inner: Arc<dyn Transport>, limits: Limits) -> Self {
        let now = Instant::now();
        let tokens = f64::from(limits.burst);
        let state =
            State { tokens, counted_at: now, last_turn: now, failures: 0, closed_until: None, blocked_until: now };
        Self {
            inner,
            limits,
            valve: None,
            metrics: None,
            places: Semaphore::new(limits.concurrency),
            state: Mutex::new(state),
        }
    }

    /// Lets no call through while `provider` is paused.
    #[must_use]
    pub fn with_valve(mut self, provider: ProviderName, valve: Arc<dyn Valve>) -> Self {
        self.valve = Some((provider, valve));
        self
    }

    /// Shows whether it leaves `provider` alone.
    #[must_use]
    pub fn metered(mut self, provider: ProviderName, metrics: Metrics) -> Self {
        metrics.breaker(provider.as_str(), false);
        self.metrics = Some((provider, metrics));
        self
    }

    fn show(&self, open: bool) {
        if let Some((provider, metrics)) = &self.metrics {
            metrics.breaker(provider.as_str(), open);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses while the breaker is open; after the cool-down lets one probe through and holds the others.
    fn check_open(&self) -> Result<(), Error> {
        let mut state = self.state();
        let now = Instant::now();
        let until = state.closed_until.map_or(state.blocked_until, |until| until.max(state.blocked_until));
        match state.closed_until {
            _ if until > now => {
                Err(Error::Refused { code: BREAKER_OPEN, retry_after: until.saturating_duration_since(now) })
            }
            Some(_) => {
                state.closed_until = Some(now + COOL_DOWN);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes one token; how long until it is there.
    fn take_token(&self) -> Duration {
        let Some(rate) = self.limits.per_second.map(f64::from) else { return Duration::ZERO };
        let mut state = self.state();
        let now = Instant::now();
        let grown = now.saturating_duration_since(state.counted_at).as_secs_f64() * rate;
        state.tokens = (state.tokens + grown).min(f64::from(self.limits.burst)) - 1.0;
        state.counted_at = now;
        if state.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-state.tokens / rate) }
    }

    /// How long until a call that gives way is to come again: as far apart as the rate lets them through.
    fn later(&self) -> Duration {
        let mut state = self.state();
        let now = Instant::now();
        // If it was to try whether the provider is there again, another one does.
        state.closed_until = state.closed_until.map(|until| until.min(now));
        let apart = self.limits.per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        state.last_turn = state.last_turn.max(now + LONGEST_TURN) + apart;
        state.last_turn.saturating_duration_since(now)
    }

    async fn pass(&self, request: Request, patience: Duration) -> Result<Response, Error> {
        if let Some((provider, valve)) = &self.valve
            && valve.is_paused(*provider).await
        {
            return Err(Error::Refused { code: PAUSED, retry_after: PAUSE_LOOK });
        }
        self.check_open()?;
        let Ok(_place) = tokio::time::timeout(patience, self.places.acquire()).await else {
            return Err(Error::Refused { code: THROTTLED, retry_after: self.later() });
        };
        let turn = self.take_token();
        if !turn.is_zero() {
            tokio::time::sleep(turn).await;
        }
        let outcome = self.inner.send(request).await;
        self.note(&outcome);
        outcome
    }

    fn note(&self, outcome: &Result<Response, Error>) {
        let down = match outcome {
            Ok(answer) => answer.status.is_server_error(),
            Err(Error::Refused { .. }) => return,
            Err(_) => true,
        };
        let mut state = self.state();
        if down {
            state.failures = state.failures.saturating_add(1);
            if state.failures >= TRIP {
                state.closed_until = Some(Instant::now() + COOL_DOWN);
                self.show(true);
            }
        } else {
            if state.failures >= TRIP {
                self.show(false);
            }
            state.failures = 0;
            state.closed_until = None;
        }
        if let Ok(answer) = outcome
            && answer.status == http::StatusCode::TOO_MANY_REQUESTS
        {
            let block = wait(answer).unwrap_or(self.limits.block).min(LONGEST_BLOCK);
            state.blocked_until = state.blocked_until.max(Instant::now() + block);
        }
    }
}

#[async_trait]
impl Transport for Gate {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        self.pass(request, if self.limits.gives_way { LONGEST_TURN } else { Duration::MAX }).await
    }
}

/// The same gate for what is too urgent to give way: it is next once those before it have gone or given way.
pub struct Urgent(pub Arc<Gate>);

#[async_trait]
impl Transport for Urgent {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        self.0.pass(request, Duration::MAX).await
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::provider::script::{Script, answer};

    fn request() -> Request {
        Request {
            method: Method::GET,
            url: "http://p.test/".parse().unwrap(),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_spaced_by_the_rate_once_the_burst_is_used() {
        let gate =
            Gate::new(Script::new([]), Limits { concurrency: 8, per_second: Some(10), burst: 5, ..Limits::NONE });
        let start = Instant::now();
        for _ in 0..25 {
            gate.send(request()).await.unwrap();
        }
        assert_eq!(start.elapsed().as_millis() / 100, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_for_long_gives_way_and_comes_again_when_it_is_their_turn() {
        let gate = Arc::new(Gate::new(Script::new([]), Limits::MAIL));
        let start = Instant::now();
        let urgent = tokio::spawn({
            let urgent = Urgent(Arc::clone(&gate));
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                urgent.send(request()).await.map(|_| Instant::now())
            }
        });
        let calls = (0..100).map(async |_| {
            let mut turned_away = 0;
            while let Err(error) = gate.send(request()).await {
                let Error::Refused { code: "throttled", retry_after } = error else { panic!("{error}") };
                turned_away += 1;
                tokio::time::sleep(retry_after).await;
            }
            turned_away
        });
        let turned_away = futures_util::future::join_all(calls).await;
        assert_eq!(start.elapsed().as_secs(), 19, "five at once, and then five a second");
        assert!(
            urgent.await.unwrap().unwrap() < start + Duration::from_secs(3),
            "what is urgent waits for none of them"
        );
        assert!(turned_away.iter().filter(|times| **times == 0).count() <= 20, "{turned_away:?}");
        assert!(turned_away.iter().all(|times| *times < 4), "{turned_away:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_is_down_is_left_alone_and_probed_once() {
        let gate = Gate::new(Script::new((0..=TRIP).map(|_| answer(503, &[], ""))), Limits::NONE);
        for _ in 0..TRIP {
            gate.send(request()).await.unwrap();
        }
        assert!(matches!(gate.send(request()).await, Err(Error::Refused { code: "breaker_open", .. })));
        tokio::time::advance(COOL_DOWN).await;
        assert_eq!(gate.send(request()).await.unwrap().status, 503);
        assert!(gate.send(request()).await.is_err(), "the probe failed: closed again");
        tokio::time::advance(COOL_DOWN).await;
        assert_eq!(gate.send(request()).await.unwrap().status, 200);
        assert_eq!(gate.send(request()).await.unwrap().status, 200, "open again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_definite_refusal_never_trips_the_breaker_and_retry_after_holds() {
        let gate = Gate::new(Script::new((0..20).map(|_| answer(400, &[], ""))), Limits::NONE);
        for _ in 0..20 {
            assert_eq!(gate.send(request()).await.unwrap().status, 400);
        }
        let gate = Gate::new(Script::new([answer(429, &[("retry-after", "3")], "")]), Limits::NONE);
        gate.send(request()).await.unwrap();
        assert!(gate.send(request()).await.is_err());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(gate.send(request()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_keeps_every_call_away_for_what_it_asks_for_or_is_known_to_mean() {
        let reset = [("X-RateLimit-Remaining-Default", "0"), ("X-RateLimit-Reset-Default", "43")];
        let long = [("retry-after", "86400")];
        for (headers, limits, block) in [
            (&reset[..], Limits::CAL, 43),
            (&[], Limits::CAL, 60),
            (&[], Limits::STRIPE, 0),
            (&long[..], Limits::MAIL, 60),
        ] {
            let gate = Gate::new(Script::new([answer(429, headers, "")]), limits);
            gate.send(request()).await.unwrap();
            for _ in 0..block {
                assert!(gate.send(request()).await.is_err(), "{headers:?}");
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            assert!(gate.send(request()).await.is_ok(), "{headers:?}");
        }
    }
    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_when_a_429_came_does_not_end_the_rest() {
        for late in [answer(200, &[], ""), answer(429, &[("retry-after", "1")], "")] {
            let gate = Gate::new(Script::new([answer(429, &[], "")]), Limits::CAL);
            gate.send(request()).await.unwrap();
            gate.note(&late);
            tokio::time::advance(Duration::from_secs(59)).await;
            assert!(gate.send(request()).await.is_err());
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(gate.send(request()).await.is_ok());
        }
    }
}
