//! Events of mentors' own accounts: what they may do, and whether they are paid out.

use serde_json::{Value, json};

use crate::ingress::stripe::{PAYOUT_COMPLETED_WORKFLOW, PAYOUT_FAILED_WORKFLOW, amount};
use crate::ingress::{Meaning, Told, text};
use crate::model::account::{Account, AccountStatus};
use crate::model::case::{CaseKind, NewCase};
use crate::store::change::{Change, NewRun};

pub(super) fn meaning(told: &Told<'_>) -> Meaning {
    match told.kind {
        "account.updated" => account(told),
        "account.application.deauthorized" => match told.account {
            Some(id) => Meaning::changes(vec![Change::AccountGone { id: id.to_owned(), as_of: told.at }]),
            None => Meaning::none("an event of no account"),
        },
        "payout.paid" | "payout.failed" => payout(told),
        _ => Meaning::none("a type without consequences here"),
    }
}

fn account(told: &Told<'_>) -> Meaning {
    let object =
        told.pick(&["id", "email", "metadata", "charges_enabled", "payouts_enabled", "capabilities", "requirements"]);
    let Some(id) = text(&object, "id").or(told.account) else {
        return Meaning::none("an account without id");
    };
    let flag = |key: &str| object[key].as_bool().unwrap_or(false);
    let wanted = &object["requirements"];
    let list = |key: &str| -> Vec<String> {
        let items = wanted[key].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let disabled = text(wanted, "disabled_reason");
    let (charges_enabled, payouts_enabled) = (flag("charges_enabled"), flag("payouts_enabled"));
    let status = if disabled.is_some_and(|reason| reason.starts_with("rejected.")) {
        AccountStatus::Inactive
    } else if disabled.is_some() || !list("past_due").is_empty() {
        AccountStatus::Restricted
    } else if charges_enabled && payouts_enabled {
        AccountStatus::Active
    } else {
        AccountStatus::Pending
    };
    Meaning::changes(vec![Change::Account(Account {
        id: id.to_owned(),
        user_id: text(&object["metadata"], "userId").filter(|id| !id.is_empty()).map(str::to_owned),
        email: text(&object, "email").map(str::to_owned),
        status,
        charges_enabled,
        payouts_enabled,
        transfers_enabled: object["capabilities"]["transfers"] == "active",
        requirements: list("currently_due"),
        as_of: told.at,
    })])
}

/// A payout may be paid first and fail later: both are told, each once.
fn payout(told: &Told<'_>) -> Meaning {
    let object = told.pick(&["id", "amount", "currency", "arrival_date", "failure_code", "failure_message"]);
    let (Some(id), Some(account), Some(amount)) = (text(&object, "id"), told.account, amount(&object)) else {
        return Meaning::none("a payout without id, amount or account");
    };
    let input = json!({
        "payout": id, "account": account, "amount": amount, "at": told.at, "arrival": object["arrival_date"].as_i64(),
        "code": text(&object, "failure_code"),
    });
    if told.kind == "payout.paid" {
        return Meaning::changes(vec![Change::Start(NewRun::with_input(PAYOUT_COMPLETED_WORKFLOW, id, input))]);
    }
    let code = text(&object, "failure_code").unwrap_or("no reason given");
    let case = NewCase {
        kind: CaseKind::PayoutFailed,
        cause: format!("payout_failed/{id}"),
        summary: format!("a mentor's payout of {amount} did not arrive: {code}; the money is on their Stripe account"),
        detail: format!("{id} of {account}: the mentor has to correct their bank account in Stripe"),
        at_risk: Some(amount),
    };
    Meaning::changes(vec![Change::OpenCase(case), Change::Start(NewRun::with_input(PAYOUT_FAILED_WORKFLOW, id, input))])
}
