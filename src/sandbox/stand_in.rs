//! What all stand-ins have in common: reading a request, letting faults happen, keeping the exchange.

use std::sync::Mutex;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};

use crate::clock::Clock;
use crate::model::time::Timestamp;
use crate::sandbox::answer::{Answer, cut};
use crate::sandbox::call::Call;
use crate::sandbox::fault::{Effect, Faults, Provider};
use crate::sandbox::lock;
use crate::sandbox::log::Log;

const HANG: Duration = Duration::from_hours(1);

/// A fault that happens inside the provider, not on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Twist<'a> {
    /// Do it, then answer with this status.
    FailAfter(u16),
    /// Say no.
    Refuse { status: u16, code: &'a str, message: &'a str },
}

/// One provider.
pub(super) trait StandIn: Send + 'static {
    const PROVIDER: Provider;

    /// The name of what is asked, such as `refunds.create`.
    fn operation(&self, call: &Call) -> &'static str;

    /// The trouble that a tag in an address makes.
    fn magic(&mut self, operation: &str, call: &Call) -> Option<Effect>;

    /// Serves the request.
    fn act(&mut self, call: &Call) -> Answer;

    /// A definite no in the provider's shape.
    fn refusal(status: u16, code: &str, message: &str) -> Answer;

    /// The provider's usual body for a status that has nothing to do with the request.
    fn trouble(status: u16) -> Answer;

    /// The refusal of who asks too often, to come back after so many seconds.
    fn limited(secs: u64) -> Answer {
        Self::trouble(429).header("retry-after", secs.to_string())
    }

    fn log(&mut self) -> &mut Log;

    /// Serves the request, with a fault inside.
    fn act_with(&mut self, call: &Call, twist: Twist<'_>) -> Answer {
        match twist {
            Twist::Refuse { status, code, message } => Self::refusal(status, code, message),
            Twist::FailAfter(status) => {
                self.act(call);
                Self::trouble(status)
            }
        }
    }

    /// The last touch before an answer leaves at this time.
    fn stamp(&mut self, answer: Answer, _at: Timestamp) -> Answer {
        answer
    }
}

/// Serves one request of one provider. The lock is never held while waiting.
pub(super) async fn serve<S: StandIn>(
    desk: &Mutex<S>,
    faults: &Mutex<Faults>,
    clock: &Clock,
    prefix: &str,
    request: Request,
) -> Response {
    let Some(mut call) = Call::read(request, prefix, clock.now()).await else {
        return S::trouble(413).into_response();
    };
    let effect = {
        let mut desk = lock(desk);
        let operation = desk.operation(&call);
        let injected = lock(faults).strike(S::PROVIDER, operation, &call);
        injected.or_else(|| desk.magic(operation, &call))
    };
    if let Some(Effect::Slow { millis }) = effect {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        call.at = clock.now();
    }
    if let Some(Effect::Behind { millis }) = effect {
        call.blind_from = Some(call.at.minus(Duration::from_millis(millis)));
    }
    let hangs = matches!(effect, Some(Effect::HangBefore | Effect::HangAfter));
    let answer = settle(&mut *lock(desk), &call, effect);
    if hangs {
        tokio::time::sleep(HANG).await;
    }
    answer.map_or_else(cut, IntoResponse::into_response)
}

/// What is answered, if anything; the exchange is kept.
fn settle<S: StandIn>(desk: &mut S, call: &Call, effect: Option<Effect>) -> Option<Answer> {
    let answer = match &effect {
        None | Some(Effect::Slow { .. } | Effect::Behind { .. }) => Some(desk.act(call)),
        Some(Effect::ErrorBefore { status }) => Some(S::trouble(*status)),
        Some(Effect::RateLimited { retry_after_secs }) => Some(S::limited(*retry_after_secs)),
        Some(Effect::ErrorAfter { status }) => Some(desk.act_with(call, Twist::FailAfter(*status))),
        Some(Effect::Refuse { status, code, message }) => {
            Some(desk.act_with(call, Twist::Refuse { status: *status, code, message }))
        }
        Some(Effect::DropBefore | Effect::HangBefore) => None,
        Some(Effect::DropAfter | Effect::HangAfter) => {
            desk.act(call);
            None
        }
    };
    let answer = answer.map(|answer| desk.stamp(answer, call.at));
    let status = answer.as_ref().map(|answer| answer.status);
    let replayed = answer.as_ref().is_some_and(|answer| answer.replayed);
    desk.log().push(call, status, replayed, effect);
    answer
}
