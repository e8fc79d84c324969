//! Everything that may come in and should not, of every source.

use discuno::config::{SANDBOX_CAL_SECRET, SANDBOX_CONNECT_SECRET, SANDBOX_STRIPE_SECRET, Secret};
use discuno::signature::{sign_cal, sign_stripe};
use serde_json::{Value, json};

use crate::support::{CalEvent, Event, World};

#[derive(Clone, Copy, Debug)]
enum From {
    Stripe,
    Connect,
    Cal,
    App,
}

const ALL: [From; 4] = [From::Stripe, From::Connect, From::Cal, From::App];

impl From {
    fn good(self) -> Value {
        match self {
            Self::Stripe => Event::paid("zoe@example.edu").0,
            Self::Connect => json!({"id": "evt_c", "type": "account.updated", "created": 1, "livemode": false,
                "account": "acct_1", "data": {"object": {"id": "acct_1"}}}),
            Self::Cal => CalEvent::sample("BOOKING_CREATED").0,
            Self::App => json!({"name": "profile_updated", "id": "p1", "data": {"userId": "u1"}}),
        }
    }

    /// Posts it signed with this secret, or with the right one.
    async fn post(self, world: &World, body: &[u8], secret: Option<&str>) -> (u16, Value) {
        let now = world.app.clock.now();
        let secret_or = |right: &str| Secret::new(secret.unwrap_or(right));
        let (path, name, signature) = match self {
            Self::Stripe => {
                ("webhooks/stripe", "stripe-signature", sign_stripe(body, &secret_or(SANDBOX_STRIPE_SECRET), now))
            }
            Self::Connect => {
                let secret = secret_or(SANDBOX_CONNECT_SECRET);
                ("webhooks/stripe-connect", "stripe-signature", sign_stripe(body, &secret, now))
            }
            Self::Cal => ("webhooks/cal", "x-cal-signature-256", sign_cal(body, &secret_or(SANDBOX_CAL_SECRET))),
            Self::App => ("e/any", "x-nothing", String::new()),
        };
        world.post_to(path, body, &[(name, &signature)]).await
    }
}

fn kept(world: &World) -> i64 {
    world.books().count("SELECT count(*) FROM events")
}

#[tokio::test(start_paused = true)]
async fn what_is_unsigned_or_signed_by_another_is_400_and_not_kept() {
    for from in [From::Stripe, From::Connect, From::Cal] {
        let world = World::idle();
        let body = serde_json::to_vec(&from.good()).unwrap();
        let (status, answer) = from.post(&world, &body, Some("somebody else's")).await;
        assert_eq!((status, &answer["code"]), (400, &json!("signature_mismatch")), "{from:?}");
        let (path, name) = match from {
            From::Cal => ("webhooks/cal", "x-cal-signature-256"),
            From::Connect => ("webhooks/stripe-connect", "stripe-signature"),
            _ => ("webhooks/stripe", "stripe-signature"),
        };
        assert_eq!(world.post_to(path, &body, &[]).await.1["code"], "signature_missing", "{from:?}");
        for header in ["", "no-secret-provided", "t=,v1=", "t=1,v1=é", "zz", "0", &"f".repeat(5000), "v0=00,t=9"] {
            let (status, answer) = world.post_to(path, &body, &[(name, header)]).await;
            assert_eq!(status, 400, "{from:?} {header}: {answer}");
        }
        let mut changed = body.clone();
        changed.push(b' ');
        let now = world.app.clock.now();
        let old = match from {
            From::Cal => sign_cal(&body, &Secret::new(SANDBOX_CAL_SECRET)),
            From::Connect => sign_stripe(&body, &Secret::new(SANDBOX_CONNECT_SECRET), now),
            _ => sign_stripe(&body, &Secret::new(SANDBOX_STRIPE_SECRET), now),
        };
        assert_eq!(world.post_to(path, &changed, &[(name, &old)]).await.0, 400, "{from:?}: one byte more");
        assert_eq!(kept(&world), 0, "{from:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_and_no_event_is_400_and_what_is_too_large_413() {
    for from in ALL {
        let world = World::idle();
        for body in [&b""[..], b"nonsense", b"{", b"7", b"\"text\"", b"\xff\xfe", b"[7]"] {
            let (status, answer) = from.post(&world, body, None).await;
            assert_eq!(status, 400, "{from:?} {}: {answer}", String::from_utf8_lossy(body));
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(from.post(&world, deep.as_bytes(), None).await.0, 400, "{from:?}: deep");
        let large = vec![b' '; 3 * 1024 * 1024 + 1];
        assert_eq!(from.post(&world, &large, None).await.0, 413, "{from:?}");
        assert_eq!(kept(&world), 0, "{from:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_field_that_is_not_needed_makes_a_signed_event_refused() {
    for from in ALL {
        for odd in
            [json!(null), json!(7), json!("text"), json!([1, {"a": []}]), json!({"deep": {"er": null}}), json!(-0.5)]
        {
            let world = World::new();
            let mut event = from.good();
            event["api_version"] = json!("2099-01-01.future");
            event["a_field_of_tomorrow"] = odd.clone();
            match from {
                From::Stripe | From::Connect => {
                    event["pending_webhooks"] = odd.clone();
                    event["request"] = odd.clone();
                    for key in ["customer", "invoice", "total_details", "tomorrow"] {
                        event["data"]["object"][key] = odd.clone();
                    }
                }
                From::Cal => {
                    for key in
                        ["responses", "destinationCalendar", "location", "organizer", "length", "metadata", "price"]
                    {
                        event["payload"][key] = odd.clone();
                    }
                }
                From::App => event["user"] = odd.clone(),
            }
            let (status, answer) = from.post(&world, &serde_json::to_vec(&event).unwrap(), None).await;
            assert_eq!(status, 200, "{from:?} {odd}: {answer}");
            assert_eq!(kept(&world), 1, "{from:?} {odd}");
            world.settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_yet_is_kept_and_starts_nothing() {
    for (from, event) in [
        (From::Stripe, json!({"id": "evt_1", "type": "unheard.of", "created": 1, "data": {"object": {}}})),
        (From::Stripe, json!({"id": "evt_2", "type": "refund.created", "created": "soon", "data": {"object": 7}})),
        (From::Stripe, json!({"id": "evt_3", "type": "checkout.session.completed", "created": 1, "data": null})),
        (From::Stripe, json!({"id": "evt_4", "type": "charge.dispute.created", "created": 1})),
        (From::Connect, json!({"id": "evt_1", "type": "person.created", "created": 1})),
        (
            From::Connect,
            json!({"id": "evt_2", "type": "payout.paid", "created": 1, "data": {"object": {"id": "po_1"}}}),
        ),
        (From::Connect, json!({"id": "evt_3", "type": "account.application.deauthorized", "created": 1})),
        (From::Cal, json!({"triggerEvent": "OOO_CREATED", "createdAt": "2026-11-05T10:00:00Z", "payload": {}})),
        (From::Cal, json!({"some": "template"})),
        (From::Cal, json!({"triggerEvent": "BOOKING_CREATED", "createdAt": 7, "payload": {"bookingId": 91_042}})),
        (From::Cal, json!({"triggerEvent": 7, "payload": "x"})),
        (From::App, json!({"name": "unheard/of", "data": {"any": ["thing"]}, "v": "2099"})),
    ] {
        let world = World::new();
        for _ in 0..2 {
            let (status, answer) = from.post(&world, &serde_json::to_vec(&event).unwrap(), None).await;
            assert_eq!(status, 200, "{event}: {answer}");
        }
        world.settle().await;
        let dispositions = world.books().rows("SELECT disposition FROM events");
        let kept_once = dispositions.len() == 1 || matches!(from, From::App);
        assert!(kept_once && dispositions.iter().all(|word| word != "quarantined"), "{event}: {dispositions:?}");
        assert!(world.payments().await.is_empty() && world.ledger().alerts.posts.is_empty(), "{event}");
    }
}
