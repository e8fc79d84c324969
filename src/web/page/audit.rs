//! The audit trail: what operators did, and whether it is whole.

use axum::extract::State;
use axum::response::Redirect;

use crate::model::act::{Act, Verb};
use crate::observe::mask;
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::web::admin::Admin;
use crate::web::page::list::{Cell, Field, Listed};
use crate::web::page::{Failure, done, text};
use crate::web::shown;

impl Listed for Act {
    const PART: &'static str = "audit";
    const TITLE: &'static str = "Audit";
    const FLAGS: &'static [(&'static str, &'static str)] = &[("status", "verb"), ("source", "actor")];
    const CHECK: Option<&'static str> = Some("Check that no row is missing or was altered");
    const COLUMNS: &'static [&'static str] = &["When", "Who", "Act", "To", "Payment", "Why", "Before", "After"];
    const FIELDS: &'static [Field] = &[
        Field::one("status", "Act", || Verb::ALL.iter().map(|verb| verb.as_str()).collect()),
        Field::text("source", "Who"),
    ];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(self) -> Vec<Cell> {
        let json = |mut value: serde_json::Value| {
            mask::mask_people(&mut value);
            if value.as_object().is_some_and(serde_json::Map::is_empty) { String::new() } else { value.to_string() }
        };
        vec![
            Cell::Time(shown::time(self.at)),
            Cell::Team(self.actor),
            Cell::Text(self.verb.to_string()),
            Cell::Id(text(&self.subject)),
            Cell::id(self.payment),
            Cell::Wide(self.reason.unwrap_or_default()),
            Cell::Wide(json(self.before)),
            Cell::Wide(json(self.after)),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.acts(filter).await
    }
}

/// `POST /audit/check`: reads the whole trail.
pub(in crate::web) async fn check(State(admin): State<Admin>) -> Result<Redirect, Failure> {
    match admin.store.broken_act().await? {
        None => Ok(done("/audit", "the trail is whole")),
        Some(act) => {
            Err(Failure::bad(format!("{act} does not follow from the act before it: rows are missing or were altered")))
        }
    }
}
