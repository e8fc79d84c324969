//! What the properties are tried on.

use bytes::Bytes;
use discuno::model::case::{CaseKind, NewCase};
use discuno::model::checkout::{Attendee, Checkout};
use discuno::model::event::{Disposition, Source, Via};
use discuno::model::money::{Currency, Money};
use discuno::model::payment::PaymentFact;
use discuno::model::step::{Attempt, Ending};
use discuno::store::change::{Change, NewEvent, NewPayment, NewRun, Plan};
use serde_json::value::RawValue;

use crate::conformance::NOW;

pub(crate) const USD: fn(i64) -> Money = |minor| Money::new(minor, Currency::USD);

pub(crate) fn event(id: &str) -> NewEvent {
    NewEvent {
        source: Source::Stripe,
        external_id: id.to_owned(),
        kind: "checkout.session.completed".to_owned(),
        livemode: false,
        created_at: NOW,
        via: Via::Webhook,
        disposition: Disposition::Accepted,
        reason: None,
        body: Bytes::from(format!("body of {id}")),
        headers: None,
        body_sha256: [u8::try_from(id.len()).unwrap(); 32],
    }
}

/// An event that changes this.
pub(crate) fn plan(id: &str, changes: Vec<Change>) -> Plan {
    Plan { event: event(id), changes }
}

/// A payment of 50 dollars of session `cs_<name>`, of which `fact` is known.
pub(crate) fn payment(name: &str, fact: PaymentFact) -> Change {
    let session_id = format!("cs_{name}");
    let payment_intent = Some(format!("pi_{name}"));
    Change::Payment(Box::new(NewPayment {
        session_id: session_id.clone(),
        payment_intent: payment_intent.clone(),
        amount: USD(5000),
        livemode: false,
        customer_email: Some("zoe@example.edu".to_owned()),
        checkout: Some(Checkout {
            session_id,
            payment_intent,
            amount: USD(5000),
            paid_at: NOW,
            mentor_user_id: "mentor".to_owned(),
            mentor_username: "jane".to_owned(),
            mentor_account: "acct_1".to_owned(),
            event_type_id: 7,
            start: NOW,
            attendee: Attendee {
                name: "Zoë".to_owned(),
                email: "zoe@example.edu".to_owned(),
                phone: None,
                time_zone: "America/New_York".to_owned(),
            },
            mentor_fee: 750,
            mentee_fee: 0,
            mentor_amount: 4250,
        }),
        fact,
    }))
}

/// A paid session, and the run that is to carry it.
pub(crate) fn paid(name: &str) -> Plan {
    let start = Change::Start(NewRun::on_subject("checkout"));
    plan(&format!("evt_{name}"), vec![payment(name, PaymentFact::Paid), start])
}

/// An arrival that starts a run about nothing but itself.
pub(crate) fn task(name: &str) -> Plan {
    plan(&format!("evt_{name}"), vec![Change::Start(NewRun::with_input("task", name, serde_json::json!({})))])
}

pub(crate) fn case(cause: &str) -> Change {
    Change::OpenCase(NewCase {
        kind: CaseKind::BookingUnclear,
        cause: cause.to_owned(),
        summary: "nobody knows".to_owned(),
        detail: "look".to_owned(),
        at_risk: Some(USD(5000)),
    })
}

/// A try of a step that went well.
pub(crate) fn done(step: &str, number: u32, output: &str) -> Attempt {
    let output = RawValue::from_string(output.to_owned()).unwrap();
    Attempt {
        step: step.to_owned(),
        number,
        started_at: NOW,
        ended_at: NOW,
        retried: false,
        ending: Ending::Done { output },
    }
}
