//! One payment: where it stands, ours and the providers' word side by side, and what can be done about it.

use askama::Template;
use axum::extract::{Path, Query, State};
use serde_json::json;

use crate::model::id::PaymentId;
use crate::model::money::Money;
use crate::model::payment::{Payment, PaymentStatus};
use crate::model::refund;
use crate::model::role::Role;
use crate::observe::mask;
use crate::ops::at_stripe::AtStripe;
use crate::ops::timeline::{Side, timeline};
use crate::store::change::{CHECKOUT_WORKFLOW, REFUND_WORKFLOW};
use crate::store::order::Deed;
use crate::store::{Story, Subject};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::{Failure, Page, Said, Shell, text};
use crate::web::shown;

#[derive(Template)]
#[template(path = "payment.html")]
pub(in crate::web) struct PaymentPage {
    shell: Shell,
    said: Option<String>,
    id: String,
    status: PaymentStatus,
    paid: Money,
    refunded: Option<Money>,
    unconfirmed: Option<Money>,
    /// Whether a run is to find out about what is not confirmed.
    at_work: bool,
    customer: Option<String>,
    mentor: Option<String>,
    session: Option<shown::Time>,
    session_id: String,
    intent: Option<String>,
    live: bool,
    created: shown::Time,
    changed: shown::Time,
    /// Open cases: ids and what they say.
    cases: Vec<(String, String)>,
    refunds: Vec<RefundRow>,
    moments: Vec<Row>,
    command: String,
}

/// A refund as the page shows it.
struct RefundRow {
    id: String,
    status: &'static str,
    amount: Money,
    origin: &'static str,
    stripe: String,
    reference: String,
    reason: String,
    failure: String,
    created: shown::Time,
}

/// A line of the story: on our side or on theirs.
struct Row {
    at: shown::Time,
    ours: bool,
    about: String,
    what: String,
    detail: String,
}

pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Query(Said { said }): Query<Said>,
) -> Result<Page<PaymentPage>, Failure> {
    let id: PaymentId = id.parse().map_err(Failure::bad)?;
    let story = admin.store.story(Subject::Payment(id)).await?;
    let moments = timeline(&story).into_iter().map(|moment| Row {
        at: shown::time(moment.at),
        ours: moment.side == Side::Ours,
        about: moment.about,
        what: moment.what,
        detail: mask::plain(&moment.masked),
    });
    let moments = moments.collect();
    let payment = payment(&story, id)?;
    let money = |minor: i64| (minor > 0).then(|| Money::new(minor, payment.amount.currency));
    let refunds_it = |workflow: &str| matches!(workflow, REFUND_WORKFLOW | CHECKOUT_WORKFLOW);
    let open = story.cases.iter().filter(|case| case.closed_at.is_none());
    let refunds = story.refunds.iter().map(|refund| RefundRow {
        id: refund.id.to_string(),
        status: refund.status.as_str(),
        amount: refund.amount,
        origin: refund.origin.as_str(),
        stripe: refund.stripe_refund_id.clone().unwrap_or_default(),
        reference: refund.idempotency_key(),
        reason: text(&refund.reason),
        failure: refund.failure.as_ref().map(|failure| text(&failure.message)).unwrap_or_default(),
        created: shown::time(refund.created_at),
    });
    let session = story.bookings.iter().find(|booking| booking.facts.status.is_live());
    Ok(Page(PaymentPage {
        shell: Shell::new(&admin, &identity, "payments", id.to_string()),
        said,
        id: id.to_string(),
        status: payment.status,
        paid: payment.amount,
        refunded: money(refund::accepted(&story.refunds)),
        unconfirmed: money(refund::unconfirmed(&story.refunds)),
        at_work: story.runs.iter().any(|(run, _)| refunds_it(&run.workflow) && !run.state.is_terminal()),
        customer: payment.customer_email.as_deref().map(|address| text(&mask::email(address))),
        mentor: payment.checkout.as_ref().map(|checkout| text(&checkout.mentor_username)),
        session: session.map(|booking| shown::time(booking.facts.start)),
        session_id: text(&payment.session_id),
        intent: payment.payment_intent.as_deref().map(text),
        live: payment.livemode,
        created: shown::time(payment.created_at),
        changed: shown::time(payment.updated_at),
        cases: open.map(|case| (case.id.to_string(), text(&case.summary))).collect(),
        refunds: refunds.collect(),
        moments,
        command: format!("discuno show {id}"),
    }))
}

/// The payment of a story that was asked for by it.
pub(super) fn payment(story: &Story, id: PaymentId) -> Result<&Payment, Failure> {
    story.payment.as_ref().ok_or_else(|| crate::store::error::Error::NotFound(id.to_string()).into())
}

/// People, as they are.
#[derive(Template)]
#[template(path = "people.html")]
pub(in crate::web) struct PeoplePage {
    shell: Shell,
    id: String,
    people: Vec<Somebody>,
    command: String,
}

struct Somebody {
    part: String,
    name: String,
    address: String,
    more: String,
}

impl Somebody {
    fn new(part: impl Into<String>, name: &str, address: &str, more: String) -> Self {
        Self { part: part.into(), name: mask::plain(name), address: mask::plain(address), more: mask::plain(&more) }
    }
}

/// `POST /payments/{id}/reveal`: an act of its own.
pub(in crate::web) async fn reveal(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Page<PeoplePage>, Failure> {
    identity.must(Role::Operator)?;
    let id: PaymentId = id.parse().map_err(Failure::bad)?;
    let story = admin.store.story(Subject::Payment(id)).await?;
    let payment = payment(&story, id)?;
    let deed = Deed::Reveal { subject: id.to_string(), payment: Some(id), shown: json!({}) };
    admin.desk.order(&identity.name, None, deed).await?;
    let mut people = Vec::new();
    if let Some(address) = &payment.customer_email {
        people.push(Somebody::new("customer, as Stripe knows them", "", address, String::new()));
    }
    if let Some(checkout) = &payment.checkout {
        let buyer = &checkout.attendee;
        let more = format!("{} {}", buyer.phone.as_deref().unwrap_or_default(), buyer.time_zone);
        people.push(Somebody::new("customer, as given at checkout", &buyer.name, &buyer.email, more));
    }
    for booking in &story.bookings {
        let zone = |person: &crate::model::booking::Person| person.time_zone.clone().unwrap_or_default();
        if let Some(host) = &booking.facts.organizer {
            people.push(Somebody::new(format!("host of {}", booking.id), &host.name, &host.email, zone(host)));
        }
        for guest in &booking.facts.attendees {
            people.push(Somebody::new(format!("attendee of {}", booking.id), &guest.name, &guest.email, zone(guest)));
        }
    }
    for mail in &story.mails {
        people.push(Somebody::new(format!("told by {}", mail.id), "", &mail.letter.to, mail.letter.subject.clone()));
    }
    Ok(Page(PeoplePage {
        shell: Shell::new(&admin, &identity, "payments", format!("People of {id}")),
        id: id.to_string(),
        people,
        command: format!("discuno show {id} --reveal"),
    }))
}

#[derive(Template)]
#[template(path = "at_stripe.html")]
pub(in crate::web) struct AtStripePage {
    shell: Shell,
    id: String,
    theirs: AtStripe,
}

/// `POST /payments/{id}/stripe`: what Stripe says now.
pub(in crate::web) async fn ask_stripe(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Page<AtStripePage>, Failure> {
    identity.must(Role::Operator)?;
    let id: PaymentId = id.parse().map_err(Failure::bad)?;
    let theirs = admin.desk.at_stripe(id).await?;
    let shell = Shell::new(&admin, &identity, "payments", format!("{id} at Stripe"));
    Ok(Page(AtStripePage { shell, id: id.to_string(), theirs }))
}
