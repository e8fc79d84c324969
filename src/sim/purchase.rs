//! The events of a purchase, as Stripe, Cal.com and the application would send them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::time::Timestamp;
use crate::sandbox::ledger::{Booking, PaymentIntent, Refund, Transfer};
use crate::sim::script::{Paid, Purchase, STRANGER};

/// What every session costs, in minor units.
pub(super) const PRICE: i64 = 5000;
const SHARE: i64 = 4250;
const MENTOR: &str = "acct_mentor";

/// Who sends an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Stripe,
    /// Stripe, of mentors' own accounts.
    Connect,
    Cal,
    App,
}

/// An event on its way.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) sender: Sender,
    pub(super) id: String,
    pub(super) body: Value,
}

impl Letter {
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.body).unwrap_or_default()
    }
}

/// A purchase and what it is known by.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) purchase: Purchase,
    pub(super) session: String,
    pub(super) intent: String,
    pub(super) start: Timestamp,
    email: String,
    event_type: i64,
    seed: u64,
}

impl Order {
    pub(super) fn new(purchase: &Purchase, seed: u64, now: Timestamp) -> Self {
        let number = purchase.number;
        let tags = purchase.tags.iter().fold(String::new(), |tags, tag| tags + "+" + tag);
        // Cal.com's times have no more than seconds.
        let start = Timestamp(now.plus(Duration::from_millis(purchase.ahead)).as_secs() * 1000);
        Self {
            session: format!("cs_test_{seed:x}_{number}"),
            intent: format!("pi_{seed:x}_{number}"),
            start,
            email: format!("zoe{number}{tags}@example.edu"),
            event_type: 1000 + i64::try_from(number).unwrap_or(0),
            seed,
            purchase: purchase.clone(),
        }
    }

    /// What a booking for it carries.
    pub(super) fn reference(&self) -> &str {
        if self.purchase.paid == Paid::Free { &self.session } else { &self.intent }
    }

    pub(super) fn email(&self) -> &str {
        &self.email
    }

    fn charge(&self) -> String {
        self.intent.replacen("pi_", "ch_", 1)
    }

    fn stripe(&self, what: &str, kind: &str, at: Timestamp, object: Value) -> Letter {
        let id = format!("evt_{what}_{:x}_{}", self.seed, self.purchase.number);
        stripe(id, kind, at, object)
    }

    /// What Stripe knows of the payment before the session is complete, and nobody is sent.
    pub(super) fn fee(&self, at: Timestamp) -> Option<Letter> {
        let later = self.purchase.tags.contains(&"share-later");
        let wanted = self.purchase.fee && !later && self.purchase.paid != Paid::Free;
        wanted.then(|| {
            let object = json!({
                "id": self.intent, "object": "payment_intent", "amount": PRICE, "currency": "usd",
                "application_fee_amount": PRICE - SHARE, "status": "processing",
                "transfer_data": { "destination": MENTOR, "amount": SHARE },
            });
            self.stripe("intent", "payment_intent.processing", at, object)
        })
    }

    /// The checkout session's event: `completed`, `async_payment_succeeded`, …
    pub(super) fn session(&self, what: &str, status: &str, at: Timestamp) -> Letter {
        let free = status == "no_payment_required";
        let event_type = if self.purchase.paid == Paid::Unusable { String::new() } else { self.event_type.to_string() };
        let object = json!({
            "id": self.session, "object": "checkout.session", "payment_status": status,
            "payment_intent": if free { Value::Null } else { json!(self.intent) },
            "amount_total": if free { 0 } else { PRICE }, "currency": "usd", "customer_email": self.email,
            "customer_details": { "email": self.email },
            "metadata": {
                "mentorUserId": "mentor-1", "eventTypeId": event_type, "startTime": self.start.to_string(),
                "attendeeName": "Zoë", "attendeeEmail": self.email, "attendeePhone": "+15555550123",
                "attendeeTimeZone": "America/New_York", "mentorUsername": "jane", "mentorFee": "500", "menteeFee": "250",
                "mentorAmount": SHARE.to_string(), "mentorStripeAccountId": MENTOR,
            },
        });
        self.stripe(what, &format!("checkout.session.{what}"), at, object)
    }

    /// As if the same had been sold for real money.
    pub(super) fn sold_live(&self, at: Timestamp) -> Letter {
        let live = Self {
            session: self.session.replacen("test", "live", 1),
            intent: format!("{}_live", self.intent),
            ..self.clone()
        };
        let mut letter = live.session("completed", "paid", at);
        letter.id.push_str("_live");
        letter.body["id"] = json!(letter.id);
        letter.body["livemode"] = json!(true);
        letter
    }

    pub(super) fn cancelled_by_application(&self, at: Timestamp) -> Letter {
        let id = format!("app_cancel_{:x}_{}", self.seed, self.purchase.number);
        let body = json!({
            "name": "stripe/checkout.cancelled", "id": id, "ts": at.0, "data": { "sessionId": self.session },
        });
        Letter { sender: Sender::App, id, body }
    }

    pub(super) fn signed_up(&self, at: Timestamp) -> Letter {
        let id = format!("app_signed_up_{:x}_{}", self.seed, self.purchase.number);
        let data = json!({ "userId": format!("user-{}", self.purchase.number), "email": self.email, "name": "Zoë" });
        let body = json!({ "name": "user_signed_up", "id": id, "ts": at.0, "data": data });
        Letter { sender: Sender::App, id, body }
    }

    fn connected(&self, what: &str, kind: &str, at: Timestamp, object: Value) -> Letter {
        let mut letter = self.stripe(what, kind, at, object);
        letter.sender = Sender::Connect;
        letter.body["account"] = json!(MENTOR);
        letter
    }

    /// What Stripe tells of the mentor's account.
    pub(super) fn account(&self, at: Timestamp) -> Letter {
        let object = json!({
            "id": MENTOR, "object": "account", "email": "jane@example.edu", "metadata": { "userId": "mentor-1" },
            "charges_enabled": true, "payouts_enabled": true, "capabilities": { "transfers": "active" },
        });
        self.connected("account", "account.updated", at, object)
    }

    /// What Stripe tells of a payout to the mentor: `paid` or `failed`.
    pub(super) fn payout(&self, status: &str, at: Timestamp) -> Letter {
        let object = json!({
            "id": format!("po_{:x}_{}", self.seed, self.purchase.number), "object": "payout", "amount": SHARE,
            "currency": "usd", "status": status, "arrival_date": at.as_secs(), "failure_code": "account_closed",
        });
        self.connected(&format!("payout_{status}"), &format!("payout.{status}"), at, object)
    }

    pub(super) fn dispute(&self, what: &str, status: &str, at: Timestamp) -> Letter {
        let object = json!({
            "id": format!("dp_{}", self.intent), "object": "dispute", "amount": PRICE, "currency": "usd",
            "charge": self.charge(), "payment_intent": self.intent, "reason": "fraudulent", "status": status,
        });
        // By its end, so that a dispute that turns is told of again.
        let name = if status == "lost" { "dispute_lost".to_owned() } else { format!("dispute_{what}") };
        self.stripe(&name, &format!("charge.dispute.{what}"), at, object)
    }

    pub(super) fn refunded_in_dashboard(&self, amount: i64, at: Timestamp) -> Letter {
        let object = json!({
            "id": format!("re_dashboard_{:x}_{}_{}", self.seed, self.purchase.number, at.0), "object": "refund", "amount": amount,
            "currency": "usd", "status": "succeeded", "charge": self.charge(), "payment_intent": self.intent,
            "metadata": {}, "created": at.as_secs(),
        });
        self.stripe(&format!("dashboard_{}", at.0), "refund.created", at, object)
    }

    /// Somebody else sits in the slot.
    pub(super) fn slot_taken(&self, at: Timestamp) -> Letter {
        let end = self.start.plus(Duration::from_mins(30));
        let uid = format!("uid-stranger-{}", self.purchase.number);
        let payload = json!({
            "uid": uid, "bookingId": 50_000 + self.purchase.number, "title": "somebody else's", "metadata": {},
            "startTime": self.start.to_string(), "endTime": end.to_string(), "eventTypeId": self.event_type,
            "attendees": [{ "email": STRANGER, "name": "Max" }],
        });
        cal("BOOKING_CREATED", &uid, at, payload)
    }
}

fn stripe(id: String, kind: &str, at: Timestamp, object: Value) -> Letter {
    let body = json!({
        "id": id, "object": "event", "type": kind, "livemode": false, "created": at.as_secs(),
        "data": { "object": object },
    });
    Letter { sender: Sender::Stripe, id, body }
}

fn cal(kind: &str, uid: &str, at: Timestamp, payload: Value) -> Letter {
    let body = json!({ "triggerEvent": kind, "createdAt": at.to_string(), "payload": payload });
    Letter { sender: Sender::Cal, id: format!("{kind}/{uid}/{at}"), body }
}

/// What Cal.com tells of a booking.
pub(super) fn about_booking(kind: &str, booking: &Booking, at: Timestamp, more: &[(&str, Value)]) -> Letter {
    let end = booking.start.plus(Duration::from_secs(60 * u64::from(booking.minutes)));
    let mut payload = json!({
        "uid": booking.uid, "bookingId": booking.id, "title": "Session", "startTime": booking.start.to_string(),
        "endTime": end.to_string(), "eventTypeId": booking.event_type_id, "metadata": booking.metadata,
        "organizer": { "id": 7, "name": "Jane", "email": "jane@example.com", "timeZone": "America/New_York" },
        "attendees": [{ "email": booking.attendee_email, "name": booking.attendee_name, "timeZone": "America/New_York" }],
    });
    for (key, value) in more {
        payload[*key] = value.clone();
    }
    let uid = payload["uid"].as_str().unwrap_or_default().to_owned();
    cal(kind, &uid, at, payload)
}

/// What Stripe tells of a refund, as it stands.
pub(super) fn about_refund(kind: &str, refund: &Refund, status: &str, at: Timestamp) -> Letter {
    let object = json!({
        "id": refund.id, "object": "refund", "amount": refund.amount, "currency": refund.currency, "status": status,
        "charge": refund.charge, "payment_intent": refund.payment_intent, "metadata": refund.metadata,
        "created": refund.created.as_secs(),
    });
    stripe(format!("evt_{kind}_{status}_{}", refund.id), kind, at, object)
}

/// What Stripe tells of a share that was moved.
pub(super) fn about_transfer(transfer: &Transfer, at: Timestamp) -> Letter {
    let object = json!({
        "id": transfer.id, "object": "transfer", "amount": transfer.amount, "currency": transfer.currency,
        "amount_reversed": transfer.amount_reversed, "destination": transfer.destination,
        "transfer_group": transfer.transfer_group, "metadata": transfer.metadata, "created": transfer.created.as_secs(),
    });
    stripe(format!("evt_{}", transfer.id), "transfer.created", at, object)
}

/// What Stripe tells of a charge of which something was paid back.
pub(super) fn about_charge(intent: &PaymentIntent, at: Timestamp) -> Letter {
    let object = json!({
        "id": intent.charge, "object": "charge", "amount": intent.amount, "amount_refunded": intent.amount_refunded,
        "payment_intent": intent.id,
    });
    stripe(format!("evt_charge_{}_{}", intent.id, intent.amount_refunded), "charge.refunded", at, object)
}
