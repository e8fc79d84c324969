//! Resend's e-mails.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use crate::entropy::Entropy;
use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::fault::{Effect, Provider};
use crate::sandbox::ledger::{Mail, MailLedger};
use crate::sandbox::log::Log;
use crate::sandbox::posthog::new_uuid;
use crate::sandbox::stand_in::StandIn;
use crate::sandbox::tag::tagged;

const LIFETIME: Duration = Duration::from_hours(24);

/// Resend.
#[derive(Debug)]
pub(super) struct Mailbox {
    mails: Vec<Mail>,
    /// What was sent under each key, and the mail's id.
    keys: BTreeMap<String, (Value, String)>,
    by_age: VecDeque<(Timestamp, String)>,
    entropy: Entropy,
    log: Log,
}

impl Mailbox {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self { mails: Vec::new(), keys: BTreeMap::new(), by_age: VecDeque::new(), entropy, log: Log::default() }
    }

    pub(super) fn ledger(&self) -> MailLedger {
        MailLedger { mails: self.mails.clone(), requests: self.log.requests(), request_count: self.log.count() }
    }

    fn send(&mut self, call: &Call) -> Result<Answer, Answer> {
        let refuse = Self::refusal;
        if call.header("user-agent").is_none_or(str::is_empty) {
            return Err(Answer::text(403, "error code: 1010"));
        }
        match call.bearer() {
            None => return Err(refuse(401, "missing_api_key", "Missing API key in the authorization header.")),
            Some(key) if !key.starts_with("re_") => return Err(refuse(403, "invalid_api_key", "API key is invalid")),
            Some(_) => {}
        }
        let key = call.header("idempotency-key");
        if key.is_some_and(|key| key.is_empty() || key.len() > 256) {
            let message = "The idempotency key must be between 1-256 characters.";
            return Err(refuse(400, "invalid_idempotency_key", message));
        }
        let Some(body) = call.json() else {
            return Err(refuse(400, "validation_error", "The request body is not valid JSON."));
        };
        self.forget(call.at);
        if let Some((payload, id)) = key.and_then(|key| self.keys.get(key)) {
            if payload != body {
                let message = "Same idempotency key used with a different request payload";
                return Err(refuse(409, "invalid_idempotent_request", message));
            }
            let mut again = Answer::json(200, &json!({ "id": id }));
            again.replayed = true;
            return Ok(again);
        }
        let mail = Mail {
            id: new_uuid(&self.entropy),
            idempotency_key: key.map(str::to_owned),
            at: call.at,
            ..read(body).map_err(|(name, message)| refuse(422, name, &message))?
        };
        let answer = Answer::json(200, &json!({ "id": mail.id }));
        if let Some(key) = key {
            self.keys.insert(key.to_owned(), (body.clone(), mail.id.clone()));
            self.by_age.push_back((call.at, key.to_owned()));
        }
        self.mails.push(mail);
        Ok(answer)
    }

    fn forget(&mut self, now: Timestamp) {
        while self.by_age.front().is_some_and(|(sent, _)| now.since(*sent) >= LIFETIME) {
            if let Some((_, key)) = self.by_age.pop_front() {
                self.keys.remove(&key);
            }
        }
    }
}

/// The mail that a body describes; id, key and time are filled in later.
fn read(body: &Value) -> Result<Mail, (&'static str, String)> {
    let missing = |name: &str| ("missing_required_field", format!("Missing `{name}` field."));
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let from = text("from").ok_or_else(|| missing("from"))?;
    if !is_address(&from) {
        return Err((
            "invalid_from_address",
            "Invalid `from` field. The email address needs to follow the \
            `email@example.com` or `Name <email@example.com>` format."
                .to_owned(),
        ));
    }
    let to = addresses(&body["to"]);
    if to.is_empty() {
        return Err(missing("to"));
    }
    if to.len() > 50 || !to.iter().all(|address| is_address(address)) {
        return Err(("validation_error", "Invalid `to` field.".to_owned()));
    }
    let (html, plain) = (text("html"), text("text"));
    if html.is_none() && plain.is_none() {
        return Err(("validation_error", "Missing `html` or `text` field.".to_owned()));
    }
    let subject = text("subject").ok_or_else(|| missing("subject"))?;
    let tags = tags(&body["tags"]).ok_or_else(|| {
        let message = "Tags should only contain ASCII letters, numbers, underscores, or dashes.";
        ("validation_error", message.to_owned())
    })?;
    Ok(Mail { id: String::new(), from, to, subject, html, text: plain, tags, idempotency_key: None, at: Timestamp(0) })
}

fn addresses(to: &Value) -> Vec<String> {
    let several = to.as_array().into_iter().flatten();
    several.chain(std::iter::once(to)).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn is_address(text: &str) -> bool {
    let bare = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let parts = bare.split_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
        && !bare.contains(char::is_whitespace)
}

fn tags(value: &Value) -> Option<BTreeMap<String, String>> {
    let plain = |text: &Value| {
        let text = text.as_str()?;
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        (fits && !text.is_empty() && text.len() <= 256).then(|| text.to_owned())
    };
    value.as_array().into_iter().flatten().map(|tag| Some((plain(&tag["name"])?, plain(&tag["value"])?))).collect()
}

impl StandIn for Mailbox {
    const PROVIDER: Provider = Provider::Mail;

    fn operation(&self, call: &Call) -> &'static str {
        if call.method == http::Method::POST && call.path == "/emails" { "emails.send" } else { "unknown" }
    }

    fn magic(&mut self, operation: &str, call: &Call) -> Option<Effect> {
        let body = call.json().filter(|_| operation == "emails.send")?;
        let down = addresses(&body["to"]).iter().any(|address| tagged(address, "mail-down"));
        down.then_some(Effect::ErrorBefore { status: 500 })
    }

    fn act(&mut self, call: &Call) -> Answer {
        match self.operation(call) {
            "emails.send" => self.send(call).unwrap_or_else(|refusal| refusal),
            _ => Self::refusal(404, "not_found", "The requested endpoint does not exist."),
        }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        Answer::json(status, &json!({ "statusCode": status, "name": code, "message": message }))
    }

    fn trouble(status: u16) -> Answer {
        match status {
            409 => {
                let message = "Same idempotency key used while original request is still in progress";
                Self::refusal(409, "concurrent_idempotent_requests", message)
            }
            429 => Self::refusal(429, "rate_limit_exceeded", "Too many requests.")
                .header("ratelimit-limit", "5")
                .header("ratelimit-remaining", "0"),
            _ => Self::refusal(status, "application_error", "Something went wrong."),
        }
    }

    fn log(&mut self) -> &mut Log {
        &mut self.log
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::sandbox::trial::Trial;

    fn mail(subject: &str) -> Value {
        json!({"from": "Discuno <no-reply@discuno.example>", "to": ["zoe@example.edu"], "subject": subject,
            "html": "<p>…</p>", "tags": [{"name": "kind", "value": "booking_failed"}]})
    }

    async fn send(trial: &Trial, body: &Value) -> (u16, Value) {
        let headers = [("authorization", "Bearer re_test"), ("idempotency-key", "booking-failed/1")];
        let answer = trial.post_json("/resend/emails", body, &headers).await;
        (answer.status.as_u16(), Trial::json(&answer))
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_sends_one_mail_a_day_and_no_other_payload() {
        let trial = Trial::new();
        let first = send(&trial, &mail("A")).await;
        assert_eq!(send(&trial, &mail("A")).await, first);
        let other = send(&trial, &mail("B")).await;
        assert_eq!((other.0, &other.1["name"]), (409, &json!("invalid_idempotent_request")));
        assert_eq!(trial.sandbox.ledger().mail.mails.len(), 1);
        tokio::time::advance(Duration::from_hours(24)).await;
        assert_eq!(send(&trial, &mail("B")).await.0, 200);
        assert_eq!(trial.sandbox.ledger().mail.mails[1].tags["kind"], "booking_failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_mail_is_refused_and_does_not_hold_the_key() {
        let trial = Trial::new();
        for (field, value, status) in [
            ("to", json!([]), 422),
            ("to", json!("zoe"), 422),
            ("from", json!("Discuno"), 422),
            ("html", json!(null), 422),
            ("tags", json!([{"name": "a b", "value": "c"}]), 422),
            ("to", json!(["Zoë <zoe+mail-down@example.edu>"]), 500),
        ] {
            let mut bad = mail("A");
            bad[field] = value;
            assert_eq!(send(&trial, &bad).await.0, status, "{field}");
        }
        assert_eq!(send(&trial, &mail("A")).await.0, 200);
        let keyless = trial.post_json("/resend/emails", &mail("A"), &[("authorization", "x")]).await;
        assert_eq!(keyless.status, 401);
        let agentless = trial.post_json("/resend/emails", &mail("A"), &[("user-agent", "")]).await;
        assert_eq!(agentless.status, 403);
    }
}
