//! Paying back: the plan first, then the amount typed.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::model::id::PaymentId;
use crate::model::money::Money;
use crate::model::role::Role;
use crate::ops::refund::Plan;
use crate::store::Subject;
use crate::store::order::{Deed, RefundOrder};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::payment::payment;
use crate::web::page::query::quoted;
use crate::web::page::{Failure, Page, Shell, done, text};
use crate::web::shown;

/// What somebody wants to pay back, as forms send it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(in crate::web) struct Wanted {
    amount: String,
    cancel_booking: String,
    another: String,
    /// How many refunds the form knew of.
    seen: Option<u32>,
    /// The amount of the plan, typed to confirm it.
    typed: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "refund.html")]
pub(in crate::web) struct RefundPage {
    shell: Shell,
    id: String,
    wanted: Wanted,
    seen: u32,
    currency: String,
    /// What it comes to, or why it is refused.
    plan: Result<Plan, String>,
    wrong: Option<String>,
    command: String,
}

impl Wanted {
    fn order(&self, payment: PaymentId, left: Money, seen: u32) -> Result<RefundOrder, Failure> {
        let amount = Some(self.amount.trim()).filter(|amount| !amount.is_empty());
        let amount = amount.map(|text| Money::parse(text, left.currency)).transpose().map_err(Failure::bad)?;
        let (another, cancel_booking) = (!self.another.is_empty(), !self.cancel_booking.is_empty());
        Ok(RefundOrder { payment, amount, another, seen: Some(self.seen.unwrap_or(seen)), cancel_booking })
    }

    fn command(&self, id: PaymentId) -> String {
        let amount = Some(self.amount.trim()).filter(|amount| !amount.is_empty());
        let amount = amount.map(|amount| format!(" --amount {}", quoted(amount))).unwrap_or_default();
        let cancel = if self.cancel_booking.is_empty() { "" } else { " --cancel-booking" };
        let another = if self.another.is_empty() { "" } else { " --another" };
        format!("discuno refund {id}{amount}{cancel}{another}")
    }
}

/// A payment that may be paid back from.
struct Known {
    id: PaymentId,
    paid: Money,
    refunds: u32,
}

async fn known(admin: &Admin, id: &str) -> Result<Known, Failure> {
    let id: PaymentId = id.parse().map_err(Failure::bad)?;
    let story = admin.store.story(Subject::Payment(id)).await?;
    let paid = payment(&story, id)?.amount;
    Ok(Known { id, paid, refunds: u32::try_from(story.refunds.len()).unwrap_or(u32::MAX) })
}

fn page(
    admin: &Admin,
    identity: &Identity,
    known: &Known,
    wanted: Wanted,
    plan: Result<Plan, String>,
    wrong: Option<String>,
) -> Page<RefundPage> {
    let masked = |plan: Plan| Plan { share: text(&plan.share), session: text(&plan.session), ..plan };
    Page(RefundPage {
        shell: Shell::new(admin, identity, "payments", format!("Refund {}", known.id)),
        id: known.id.to_string(),
        seen: known.refunds,
        currency: known.paid.currency.code().to_owned(),
        command: wanted.command(known.id),
        plan: plan.map(masked),
        wanted,
        wrong,
    })
}

/// `GET /payments/{id}/refund`: what it would come to.
pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<RefundPage>, Failure> {
    identity.must(Role::Operator)?;
    let known = known(&admin, &id).await?;
    let wanted = Wanted { seen: None, ..wanted };
    let order = wanted.order(known.id, known.paid, known.refunds)?;
    let plan = admin.desk.plan(&order).await.map_err(|error| text(&error.to_string()));
    Ok(page(&admin, &identity, &known, wanted, plan, None))
}

/// `POST /payments/{id}/refund`: orders it, if the amount of the plan was typed and is what the plan comes to now.
pub(in crate::web) async fn order(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Failure> {
    identity.must(Role::Money)?;
    let known = known(&admin, &id).await?;
    let mut order = wanted.order(known.id, known.paid, known.refunds)?;
    let plan = match admin.desk.plan(&order).await {
        Ok(plan) => plan,
        Err(error) => {
            let refused = page(&admin, &identity, &known, wanted, Err(text(&error.to_string())), None);
            return Ok((StatusCode::CONFLICT, refused).into_response());
        }
    };
    if let Some(refund) = plan.existing.filter(|_| !plan.carries_on) {
        let said = format!("{refund} of {} is there already: nothing was paid twice", plan.amount);
        // A refund that nobody is at work on is carried on by ordering it again.
        admin.desk.order(&identity.name, reason(&wanted), Deed::Refund(order)).await?;
        return Ok(to(known.id, &said).into_response());
    }
    if Money::parse(&wanted.typed, plan.amount.currency) != Ok(plan.amount) {
        let typed = if wanted.typed.trim().is_empty() { "nothing was typed" } else { "another amount was typed" };
        let wrong = format!("{typed}: this pays back {}, and nothing was done", plan.amount);
        return Ok(
            (StatusCode::CONFLICT, page(&admin, &identity, &known, wanted, Ok(plan), Some(wrong))).into_response()
        );
    }
    if let Some(refund) = plan.existing {
        admin.desk.order(&identity.name, reason(&wanted), Deed::Refund(order)).await?;
        let said =
            format!("{refund} of {} is carried on: Stripe is asked first, and nothing is paid twice", plan.amount);
        return Ok(to(known.id, &said).into_response());
    }
    // Exactly what was typed, whatever happens to what is left in between; sent twice it is the same one.
    (order.amount, order.another) = (Some(plan.amount), true);
    let performed = admin.desk.order(&identity.name, reason(&wanted), Deed::Refund(order)).await?;
    let refund = performed.refund.map(|refund| refund.to_string()).unwrap_or_default();
    let said = match performed.act {
        Some(_) => format!("{refund} of {} is ordered: what Stripe says appears below", plan.amount),
        None => format!("{refund} of {} is there already: nothing was paid twice", plan.amount),
    };
    Ok(to(known.id, &said).into_response())
}

fn reason(wanted: &Wanted) -> Option<String> {
    Some(wanted.reason.trim().to_owned()).filter(|reason| !reason.is_empty())
}

fn to(payment: PaymentId, said: &str) -> Redirect {
    done(&format!("/payments/{payment}"), said)
}
