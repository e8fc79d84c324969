//! Stripe's front door: keys, routes, idempotency.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::fault::{Effect, Provider};
use crate::sandbox::ledger::{PaymentIntent, Refund, StripeLedger, Transfer};
use crate::sandbox::log::Log;
use crate::sandbox::stand_in::{StandIn, Twist};
use crate::sandbox::stripe_event::Events;
use crate::sandbox::stripe_idempotency::Keys;
use crate::sandbox::stripe_object::{self, error, invalid, missing, page};
use crate::sandbox::stripe_world::{Books, Envelope};
use crate::sandbox::tag::tagged;
use crate::sandbox::{stripe_refund, stripe_transfer};

/// Stripe.
#[derive(Debug)]
pub(super) struct Stripe {
    books: Books,
    events: Events,
    keys: Keys,
    /// Payments whose first refund has lost its answer.
    lost: BTreeSet<String>,
    entropy: Entropy,
    answers: u64,
    log: Log,
}

/// What a POST asks for.
enum Ask {
    Refund(stripe_refund::Ask),
    Transfer(stripe_transfer::Ask),
}

impl Stripe {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self {
            books: Books::default(),
            events: Events::default(),
            keys: Keys::default(),
            lost: BTreeSet::new(),
            entropy,
            answers: 0,
            log: Log::default(),
        }
    }

    pub(super) fn observe(&mut self, event: &[u8], now: Timestamp) {
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(event) else { return };
        let Ok(raw) = serde_json::from_slice(event) else { return };
        if self.events.keep(&envelope, raw, now) {
            self.books.observe(&envelope);
        }
    }

    pub(super) fn ledger(&self) -> StripeLedger {
        let refunds = self.books.refund_order.iter().filter_map(|id| self.books.refunds.get(id));
        StripeLedger {
            payment_intents: self.books.intents.values().cloned().collect(),
            refunds: refunds.cloned().collect(),
            transfers: self.books.transfers.values().cloned().collect(),
            balance: self.books.balance.clone(),
            events: self.events.len(),
            requests: self.log.requests(),
            request_count: self.log.count(),
        }
    }

    /// Refunds in the order in which they were made, after the first `skip`.
    pub(super) fn refunds_after(&self, skip: usize) -> impl Iterator<Item = &Refund> {
        self.books.refund_order.iter().skip(skip).filter_map(|id| self.books.refunds.get(id))
    }

    /// The same of transfers.
    pub(super) fn transfers_after(&self, skip: usize) -> impl Iterator<Item = &Transfer> {
        self.books.transfer_order.iter().skip(skip).filter_map(|id| self.books.transfers.get(id))
    }

    /// A payment.
    pub(super) fn intent(&self, id: &str) -> Option<&PaymentIntent> {
        self.books.intents.get(id)
    }

    fn serve(&mut self, call: &Call, twist: Option<Twist<'_>>) -> Answer {
        if let Some(refusal) = unauthorized(call) {
            return refusal;
        }
        if call.method != Method::POST {
            return match twist {
                None => self.read(call),
                Some(Twist::FailAfter(status)) => Self::trouble(status),
                Some(Twist::Refuse { status, code, message }) => Self::refusal(status, code, message),
            };
        }
        if let Some(stored) = self.keys.recall(call) {
            return stored;
        }
        let ask = match read_ask(call) {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let answer = match twist {
            None => self.carry_out(ask, call.at),
            Some(Twist::Refuse { status, code, message }) => Self::refusal(status, code, message),
            Some(Twist::FailAfter(status)) => {
                self.carry_out(ask, call.at);
                Self::trouble(status).header("stripe-should-retry", "false")
            }
        };
        self.keys.keep(call, &answer);
        answer
    }

    fn carry_out(&mut self, ask: Ask, at: Timestamp) -> Answer {
        let done = match ask {
            Ask::Refund(ask) => self.books.pay_back(ask, &self.entropy, at),
            Ask::Transfer(ask) => self.books.pay_out(ask, &self.entropy, at),
        };
        done.map_or_else(|refusal| refusal, |body| Answer::json(200, &body))
    }

    fn read(&self, call: &Call) -> Answer {
        let id = call.segment(1);
        let books = &self.books;
        let found = match self.operation(call) {
            "payment_intents.get" => {
                let expand = call.query.list("expand").contains(&"latest_charge");
                books.intents.get(id).map(|intent| stripe_object::payment_intent(intent, expand))
            }
            "charges.get" => {
                books.charges.get(id).and_then(|intent| books.intents.get(intent)).map(stripe_object::charge)
            }
            "refunds.get" => books.refunds.get(id).map(stripe_object::refund),
            "transfers.get" => books.transfers.get(id).map(stripe_object::transfer),
            "refunds.list" => return self.refunds(call),
            "transfers.list" => return self.transfers(call),
            "events.get" => return self.events.get(id),
            "events.list" => return self.events.list(call),
            "balance.get" => Some(self.balance()),
            _ => return unknown_url(call),
        };
        let what = call.segment(0).trim_end_matches('s');
        found.map_or_else(|| missing(what, id, "id"), |body| Answer::json(200, &body))
    }

    fn refunds(&self, call: &Call) -> Answer {
        let charged = call.query.get("charge").map(|charge| self.books.charges.get(charge).map_or("", String::as_str));
        let ids = match call.query.get("payment_intent").or(charged) {
            Some(intent) => self.books.refunds_of.get(intent).map_or(&[][..], Vec::as_slice),
            None => &self.books.refund_order,
        };
        let newest_first = ids.iter().rev().filter_map(|id| self.books.refunds.get(id));
        let all: Vec<_> = newest_first.map(|refund| (refund.id.as_str(), stripe_object::refund(refund))).collect();
        page(&all, &call.query, "/v1/refunds")
    }

    fn transfers(&self, call: &Call) -> Answer {
        let (group, destination) = (call.query.get("transfer_group"), call.query.get("destination"));
        let books = &self.books;
        let mut found: Vec<_> = match group.or(destination) {
            Some(name) => {
                let ids = books.transfers_of.get(name).into_iter().flatten();
                ids.rev().filter_map(|id| books.transfers.get(id)).collect()
            }
            None => books.transfers.values().collect(),
        };
        found.retain(|transfer| destination.is_none_or(|wanted| transfer.destination == wanted));
        let all: Vec<_> = found.into_iter().map(|found| (found.id.as_str(), stripe_object::transfer(found))).collect();
        page(&all, &call.query, "/v1/transfers")
    }

    fn balance(&self) -> Value {
        let funds = self.books.balance.iter();
        let available: Vec<Value> =
            funds.map(|(currency, amount)| json!({ "amount": amount, "currency": currency })).collect();
        json!({ "object": "balance", "available": available, "pending": [], "livemode": false })
    }
}

fn read_ask(call: &Call) -> Result<Ask, Answer> {
    if call.header("content-type").is_some_and(|kind| !kind.starts_with("application/x-www-form-urlencoded")) {
        let message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded).";
        return Err(invalid(400, None, None, message));
    }
    match call.segments().as_slice() {
        ["refunds"] => stripe_refund::Ask::read(call.form()).map(Ask::Refund),
        ["transfers"] => stripe_transfer::Ask::read(call.form()).map(Ask::Transfer),
        _ => Err(unknown_url(call)),
    }
}

fn unauthorized(call: &Call) -> Option<Answer> {
    let message = match call.bearer() {
        Some(key) if key.starts_with("sk_test_") || key.starts_with("rk_test_") => return None,
        Some(key) => {
            let shown: String = key.chars().take(8).collect();
            format!("Invalid API Key provided: {shown}***")
        }
        None => "You did not provide an API key.".to_owned(),
    };
    Some(invalid(401, None, None, &message))
}

fn unknown_url(call: &Call) -> Answer {
    let message = format!("Unrecognized request URL ({}: /v1{}).", call.method, call.path);
    invalid(404, None, None, &message)
}

impl StandIn for Stripe {
    const PROVIDER: Provider = Provider::Stripe;

    fn operation(&self, call: &Call) -> &'static str {
        match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["payment_intents", _]) => "payment_intents.get",
            ("GET", ["charges", _]) => "charges.get",
            ("POST", ["refunds"]) => "refunds.create",
            ("GET", ["refunds"]) => "refunds.list",
            ("GET", ["refunds", _]) => "refunds.get",
            ("POST", ["transfers"]) => "transfers.create",
            ("GET", ["transfers"]) => "transfers.list",
            ("GET", ["transfers", _]) => "transfers.get",
            ("GET", ["events"]) => "events.list",
            ("GET", ["events", _]) => "events.get",
            ("GET", ["balance"]) => "balance.get",
            _ => "unknown",
        }
    }

    fn magic(&mut self, operation: &str, call: &Call) -> Option<Effect> {
        if operation != "refunds.create" {
            return None;
        }
        let email = self.books.email_of(call.form())?;
        if tagged(email, "refund-refused") {
            let message = "This charge is not refundable.".to_owned();
            return Some(Effect::Refuse { status: 400, code: "charge_not_refundable".to_owned(), message });
        }
        let payment = call.form().get("payment_intent").or_else(|| call.form().get("charge"))?;
        (tagged(email, "refund-lost") && self.lost.insert(payment.to_owned())).then_some(Effect::DropAfter)
    }

    fn act(&mut self, call: &Call) -> Answer {
        self.serve(call, None)
    }

    fn act_with(&mut self, call: &Call, twist: Twist<'_>) -> Answer {
        self.serve(call, Some(twist))
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        let code = Some(code).filter(|code| !code.is_empty());
        let kind = match status {
            402 => "card_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        error(status, kind, code, None, message)
    }

    fn trouble(status: u16) -> Answer {
        match status {
            401 => invalid(401, None, None, "Invalid API Key provided: sk_test_***"),
            409 => error(
                409,
                "idempotency_error",
                Some("idempotency_key_in_use"),
                None,
                "There is currently another in-progress request using this Idempotency Key.",
            )
            .header("stripe-should-retry", "true"),
            429 => invalid(429, Some("rate_limit"), None, "Request rate limit exceeded.")
                .header("stripe-rate-limited-reason", "global-rate"),
            500.. => error(status, "api_error", None, None, "An unknown error occurred"),
            _ => invalid(status, None, None, "The request could not be served."),
        }
    }

    fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    fn stamp(&mut self, answer: Answer, at: Timestamp) -> Answer {
        self.answers += 1;
        let answer = answer.header("request-id", format!("req_{:014}", self.answers));
        let date = jiff::Timestamp::from_second(at.as_secs()).ok();
        let date =
            date.and_then(|date| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).ok());
        match date {
            Some(date) => answer.header("date", date),
            None => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sandbox::trial::Trial;

    #[tokio::test(start_paused = true)]
    async fn only_a_test_key_opens_the_door() {
        let trial = Trial::new();
        for (key, status) in
            [("Bearer sk_test_x", 404), ("Bearer rk_test_x", 404), ("Bearer sk_live_x", 401), ("x", 401)]
        {
            let answer = trial.get_as("/stripe/v1/charges/ch_1", &[("authorization", key)]).await;
            assert_eq!(answer.status, status, "{key}");
            assert!(answer.headers.contains_key("request-id"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_makes_the_same_refund() {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let trial = Trial::new();
            trial.paid("pi_1", "zoe@example.edu");
            ids.push(Trial::json(&trial.refund("payment_intent=pi_1", None).await)["id"].clone());
        }
        assert_eq!(ids[0], ids[1]);
    }
}
