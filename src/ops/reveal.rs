//! What the audit trail says of a list in which people were shown: what was asked for, and which rows that were.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::observe::mask::{email, without_addresses};
use crate::store::filter::Filter;

/// So many rows are named one by one; of more, how many there were and between which.
const NAMED: usize = 100;

/// What was shown: the conditions, and the ids of the rows, the newest first. The trail is kept for ever, so that whoever was looked for
/// is masked in it; the rows tell who that was.
pub fn shown(filter: &Filter, ids: &[String]) -> Value {
    let mut shown = json!({ "conditions": conditions(filter), "count": ids.len() });
    match ids {
        [newest, .., oldest] if ids.len() > NAMED => {
            (shown["newest"], shown["oldest"]) = (json!(newest), json!(oldest));
        }
        ids => shown["ids"] = json!(ids),
    }
    shown
}

/// What is asked for, as lists are asked for it.
fn conditions(filter: &Filter) -> Value {
    let Filter {
        status, since, until, customer, whole: _, workflow, step, error, source, kind, payment, stuck, ..
    } = filter;
    let mut conditions = Map::new();
    let mut asked = |name: &str, value: Value| {
        if !value.is_null() {
            conditions.insert(name.to_owned(), value);
        }
    };
    asked("status", if status.is_empty() { Value::Null } else { json!(status) });
    asked("since", some(since.as_ref()));
    asked("until", some(until.as_ref()));
    asked("customer", some(customer.as_deref().map(email)));
    asked("workflow", some(workflow.as_ref()));
    asked("step", some(step.as_ref()));
    asked("error", some(error.as_deref().map(without_addresses)));
    asked("source", some(source.as_ref()));
    asked("type", some(kind.as_ref()));
    asked("payment", some(payment.as_ref()));
    asked("stuck", some(stuck.as_ref()));
    asked("before", some(filter.before.as_ref()));
    asked("limit", json!(filter.limit));
    Value::Object(conditions)
}

fn some(value: Option<impl Serialize>) -> Value {
    json!(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_one_by_one_or_by_their_bounds_and_whoever_was_looked_for_is_masked() {
        let ids = |count: usize| (1..=count).rev().map(|number| format!("pay_{number}")).collect::<Vec<_>>();
        let filter = Filter {
            customer: Some("zoe@example.edu".to_owned()),
            error: Some("to zoe@example.edu".to_owned()),
            status: vec!["paid".to_owned()],
            ..Filter::newest(500)
        };
        let few = shown(&filter, &ids(2));
        assert_eq!((&few["ids"], &few["count"]), (&json!(["pay_2", "pay_1"]), &json!(2)));
        let conditions = json!({ "status": ["paid"], "customer": "z•••@e•••", "error": "to z•••@e•••", "limit": 500 });
        assert_eq!(few["conditions"], conditions);
        let many = shown(&filter, &ids(NAMED + 1));
        assert_eq!(
            (&many["newest"], &many["oldest"], &many["ids"]),
            (&json!("pay_101"), &json!("pay_1"), &Value::Null)
        );
        assert_eq!(shown(&filter, &[])["ids"], json!([]));
    }
}
