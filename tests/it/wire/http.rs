//! Providers over HTTP: requests as they leave, answers as they are understood.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use discuno::clock::Clock;
use discuno::model::capture::Capture;
use discuno::model::checkout::Attendee;
use discuno::model::failure::FailureKind;
use discuno::model::mail::NewMail;
use discuno::model::time::Timestamp;
use discuno::provider::cal::{Cal, NewBooking};
use discuno::provider::mail::Mailer;
use discuno::provider::posthog::PostHog;
use discuno::provider::resend::Resend;
use discuno::provider::stripe::{RefundRequest, Stripe};
use discuno::transport::{Error, Request, Response, Transport};
use serde_json::{Value, json};

/// A wire that keeps what is sent and answers from a list.
#[derive(Default)]
struct Recorder {
    sent: Mutex<Vec<Request>>,
    answers: Mutex<VecDeque<Response>>,
}

#[async_trait]
impl Transport for Recorder {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        self.sent.lock().unwrap().push(request);
        // An answer takes its time.
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(self.answers.lock().unwrap().pop_front().expect("an answer for every request"))
    }
}

impl Recorder {
    fn answering(answers: impl IntoIterator<Item = (u16, Value, Value)>) -> Arc<Self> {
        let recorder = Self::default();
        for (status, headers, body) in answers {
            let mut map = http::HeaderMap::new();
            for (name, value) in headers.as_object().unwrap() {
                let name: http::HeaderName = name.parse().unwrap();
                map.insert(name, value.as_str().unwrap().parse().unwrap());
            }
            let body = body.to_string().into();
            let status = http::StatusCode::from_u16(status).unwrap();
            recorder.answers.lock().unwrap().push_back(Response { status, headers: map, body });
        }
        Arc::new(recorder)
    }

    fn only_request(&self) -> Request {
        let mut sent = self.sent.lock().unwrap();
        assert_eq!(sent.len(), 1, "one request");
        sent.remove(0)
    }
}

fn ok(body: Value) -> [(u16, Value, Value); 1] {
    [(200, json!({}), body)]
}

fn head(request: &Request, name: &str) -> String {
    request.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn stripe(wire: &Arc<Recorder>) -> Stripe {
    Stripe::new(Arc::clone(wire) as Arc<dyn Transport>, "https://api.stripe.test".parse().unwrap(), "sk_test_1".into())
}

#[tokio::test]
async fn a_refund_leaves_as_a_form_with_key_version_and_mark() {
    let wire = Recorder::answering(ok(json!({"id": "re_1", "amount": 5000, "status": "succeeded"})));
    let request = RefundRequest {
        payment_intent: "pi_1".to_owned(),
        amount: 5000,
        refund_application_fee: false,
        reverse_transfer: true,
        reference: "pi_1/1".to_owned(),
    };
    stripe(&wire).create_refund(&request.encode(), "refund/pi_1/1").await.unwrap();
    let sent = wire.only_request();
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "https://api.stripe.test/v1/refunds"));
    assert_eq!(head(&sent, "authorization"), "Bearer sk_test_1");
    assert_eq!(head(&sent, "idempotency-key"), "refund/pi_1/1");
    assert_eq!(head(&sent, "stripe-version"), "2026-07-29.dahlia");
    assert_eq!(head(&sent, "content-type"), "application/x-www-form-urlencoded");
    let form = "payment_intent=pi_1&amount=5000&reverse_transfer=true&metadata%5BdiscunoRefund%5D=pi_1%2F1";
    assert_eq!(sent.body, form.as_bytes());
}

#[tokio::test]
async fn a_list_of_refunds_is_read_to_its_last_page() {
    let page = |id: &str, more: bool| {
        let refund = json!({"id": id, "amount": 1, "status": "pending", "metadata": {"discunoRefund": id}});
        (200, json!({}), json!({"object": "list", "data": [refund], "has_more": more}))
    };
    let wire = Recorder::answering([page("re_2", true), page("re_1", false)]);
    let found = stripe(&wire).refunds_of("pi_1").await.unwrap();
    assert_eq!(found.iter().map(|refund| refund.id.as_str()).collect::<Vec<_>>(), ["re_2", "re_1"]);
    let queries: Vec<_> = wire.sent.lock().unwrap().iter().map(|sent| sent.url.query().unwrap().to_owned()).collect();
    assert_eq!(queries, ["payment_intent=pi_1&limit=100", "payment_intent=pi_1&limit=100&starting_after=re_2"]);
}

#[tokio::test]
async fn every_known_refusal_of_stripe_is_told_apart() {
    use FailureKind::{Permanent, Transient, Unknown};
    let known: Value = serde_json::from_str(include_str!("../../fixtures/stripe_errors.json")).unwrap();
    let meant = |name: &str| match name {
        "idempotency_key_in_use" | "lock_timeout" | "rate_limit" | "authentication" => Transient,
        "api_error_500" | "replayed_500" => Unknown,
        _ => Permanent,
    };
    for (name, case) in known.as_object().unwrap() {
        let status = u16::try_from(case["http_status"].as_u64().unwrap()).unwrap();
        let wire = Recorder::answering([(status, case["headers"].clone(), case["body"].clone())]);
        let error = stripe(&wire).create_refund("amount=1", "k").await.unwrap_err();
        assert_eq!(error.failure.kind, meant(name), "{name}: {error}");
        assert_eq!(error.replayed, case["headers"]["idempotent-replayed"] == "true", "{name}");
    }
}

#[tokio::test]
async fn a_booking_leaves_with_the_version_the_client_and_the_payment_in_its_metadata() {
    let made = json!({"status": "success", "data": {"uid": "u1", "id": 7, "status": "accepted",
        "start": "2026-11-12T15:00:00.000Z", "end": "2026-11-12T15:30:00.000Z"}});
    let wire = Recorder::answering([(201, json!({}), made)]);
    let base = "https://api.cal.test/v2".parse().unwrap();
    let cal = Cal::new(Arc::clone(&wire) as Arc<dyn Transport>, base, "client".to_owned(), "secret".into());
    let attendee = Attendee {
        name: "Zoë".to_owned(),
        email: "zoe@example.edu".to_owned(),
        phone: Some("+1 555 555 0123".to_owned()),
        time_zone: "America/New_York".to_owned(),
    };
    let new = NewBooking {
        start: "2026-11-12T10:00:00-05:00".parse::<Timestamp>().unwrap(),
        event_type_id: 91,
        attendee: &attendee,
        metadata: [("paymentId", "pi_1")].into(),
    };
    assert_eq!(cal.create_booking(&new, true).await.unwrap().uid, "u1");
    let sent = wire.only_request();
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "https://api.cal.test/v2/bookings"));
    assert_eq!(head(&sent, "cal-api-version"), "2024-08-13");
    assert_eq!((head(&sent, "x-cal-client-id"), head(&sent, "x-cal-secret-key")), ("client".into(), "secret".into()));
    let expected = json!({
        "start": "2026-11-12T15:00:00.000Z", "eventTypeId": 91, "metadata": {"paymentId": "pi_1"},
        "attendee": {"name": "Zoë", "email": "zoe@example.edu", "timeZone": "America/New_York", "language": "en",
            "phoneNumber": "+15555550123"},
    });
    assert_eq!(body(&sent), expected);
}

#[tokio::test]
async fn a_booking_that_cal_says_is_cancelled_already_counts_as_called_off() {
    let found = |status: &str| (200, json!({}), json!({"status": "success", "data": {"status": status}}));
    let wrapped =
        |message: &str| json!({"status": "error", "error": {"code": "BadRequestException", "message": message}});
    let raw = |status: u16, message: &str| json!({"statusCode": status, "message": message});
    let already = "This booking has already been cancelled.";
    let longer = "Can't cancel booking with uid=u1 because it has been cancelled already. Please provide uid of a booking \
        that is not cancelled.";
    let missing = "Booking with uid=u1 was not found in the database";
    let gone = || (404, json!({}), wrapped(missing));
    for (answers, code) in [
        (vec![(400, json!({}), wrapped(already)), found("cancelled")], None),
        (vec![(400, json!({}), raw(400, already)), found("accepted")], None),
        (vec![(400, json!({}), wrapped(longer)), gone()], None),
        (vec![(400, json!({}), wrapped("no")), found("cancelled")], None),
        (vec![(404, json!({}), raw(404, "Cannot POST /v2/bookings/u1/cancel")), found("cancelled")], None),
        (vec![(400, json!({}), wrapped("no")), found("accepted")], Some("unrecognised_refusal")),
        (vec![gone(), gone()], Some("booking_missing")),
        (vec![(400, json!({}), wrapped(already)), (503, json!({}), json!({}))], Some("http_503")),
        (vec![(403, json!({}), wrapped(already))], Some("credentials")),
    ] {
        let wire = Recorder::answering(answers.clone());
        let base = "https://api.cal.test/v2".parse().unwrap();
        let cal = Cal::new(Arc::clone(&wire) as Arc<dyn Transport>, base, "client".to_owned(), "secret".into());
        let outcome = cal.cancel_booking("u1", "refunded").await;
        assert_eq!(outcome.err().map(|error| error.failure.code).as_deref(), code, "{answers:?}");
        assert!(wire.answers.lock().unwrap().is_empty(), "{answers:?}");
    }
}

fn posthog(wire: &Arc<Recorder>) -> PostHog {
    let transport = Arc::clone(wire) as Arc<dyn Transport>;
    let clock = Clock::starting_at(Timestamp(1_793_872_801_000));
    PostHog::new(transport, "https://ph.test".parse().unwrap(), "phc_1".into(), clock)
}

fn capture(uuid: &str) -> Capture {
    Capture {
        event: "payment_succeeded".to_owned(),
        distinct_id: "mentor".to_owned(),
        uuid: uuid.to_owned(),
        timestamp: Timestamp(1_793_872_800_000),
        properties: json!({"amount": 5000}).as_object().unwrap().clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn captures_that_wait_leave_together_and_a_bad_one_takes_no_other_with_it() {
    let yes = || (200, json!({}), json!({"status": "Ok"}));
    let no = || (400, json!({}), json!("event submitted without a distinct_id"));
    let wire = Recorder::answering([no(), yes(), yes(), no(), yes()]);
    let posthog = posthog(&wire);
    let (one, two, three, four) = (capture("1"), capture("2"), capture("3"), capture("4"));
    let answers =
        tokio::join!(posthog.capture(&one), posthog.capture(&two), posthog.capture(&three), posthog.capture(&four));
    assert!(answers.0.is_ok() && answers.1.is_ok() && answers.2.is_err() && answers.3.is_ok(), "{answers:?}");
    let sent = wire.sent.lock().unwrap();
    let paths: Vec<&str> = sent.iter().map(|request| request.url.path()).collect();
    assert_eq!(paths, ["/batch/", "/i/v0/e/", "/i/v0/e/", "/i/v0/e/", "/i/v0/e/"]);
    let batch = body(&sent[0]);
    assert_eq!((batch["batch"].as_array().unwrap().len(), &batch["api_key"]), (4, &json!("phc_1")));
    assert_eq!(batch["batch"][0]["timestamp"], "2026-11-05T10:00:00.000Z");
    assert!(batch["sent_at"].is_string() && batch["batch"][0].get("api_key").is_none());
}

#[tokio::test]
async fn a_capture_leaves_with_a_uuid_and_a_time_of_its_own() {
    let wire = Recorder::answering(ok(json!({"status": "Ok", "quota_limited": ["events"]})));
    posthog(&wire).capture(&capture("0193f5e2-7b1a-5c3d-8e4f-5a6b7c8d9e0f")).await.unwrap();
    let sent = wire.only_request();
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "https://ph.test/i/v0/e/"));
    let expected = json!({
        "api_key": "phc_1", "event": "payment_succeeded", "distinct_id": "mentor",
        "uuid": "0193f5e2-7b1a-5c3d-8e4f-5a6b7c8d9e0f", "timestamp": "2026-11-05T10:00:00.000Z",
        "properties": {"amount": 5000, "$lib": "discuno", "$geoip_disable": true, "$ignore_sent_at": true},
    });
    assert_eq!(body(&sent), expected);
}

#[tokio::test]
async fn an_e_mail_leaves_for_resend_under_its_key_and_its_answers_are_told_apart() {
    use FailureKind::{Permanent, Transient, Unknown};
    let letter = NewMail {
        key: "booking-failed/pi_1".to_owned(),
        kind: "booking-failed".to_owned(),
        to: "zoe@example.edu".to_owned(),
        subject: "s".to_owned(),
        html: "<p>h</p>".to_owned(),
        text: "t".to_owned(),
    };
    let mailer = |wire: &Arc<Recorder>| {
        let base = "https://api.resend.test".parse().unwrap();
        Mailer::Resend(Resend::new(Arc::clone(wire) as Arc<dyn Transport>, base, "re_1".into()))
    };
    let wire = Recorder::answering(ok(json!({"id": "mail-1"})));
    let taken = mailer(&wire).send("Discuno <no-reply@discuno.example>", &letter).await.unwrap();
    assert_eq!(taken.as_deref(), Some("mail-1"));
    let sent = wire.only_request();
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "https://api.resend.test/emails"));
    assert_eq!(head(&sent, "idempotency-key"), "booking-failed/pi_1");
    assert!(head(&sent, "user-agent").starts_with("discuno/"), "Resend answers 403 to requests without one");
    assert_eq!(body(&sent)["to"], json!(["zoe@example.edu"]));
    assert_eq!(body(&sent)["from"], "Discuno <no-reply@discuno.example>");

    for (status, name, headers, kind) in [
        (409, "concurrent_idempotent_requests", json!({}), Transient),
        (409, "invalid_idempotent_request", json!({}), Permanent),
        (422, "validation_error", json!({}), Permanent),
        (429, "rate_limit_exceeded", json!({"retry-after": "1"}), Transient),
        (429, "daily_quota_exceeded", json!({}), Transient),
        (401, "missing_api_key", json!({}), Transient),
        (403, "invalid_api_key", json!({}), Transient),
        (500, "application_error", json!({}), Unknown),
    ] {
        let message = "zoe@example.edu is not well";
        let wire =
            Recorder::answering([(status, headers, json!({"statusCode": status, "name": name, "message": message}))]);
        let error = mailer(&wire).send("a@b.example", &letter).await.unwrap_err();
        assert_eq!(error.failure.kind, kind, "{name}");
        assert!(!error.to_string().contains("zoe@example.edu"), "{error}");
    }
}
