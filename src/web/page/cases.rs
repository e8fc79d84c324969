//! The list of cases.

use crate::model::case::{Case, CaseKind, CaseStatus};
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::web::page::list::{Cell, Field, Listed};
use crate::web::page::query::{ANY, Query};
use crate::web::shown;

impl Listed for Case {
    const PART: &'static str = "cases";
    const TITLE: &'static str = "Cases";
    const COLUMNS: &'static [&'static str] =
        &["State", "About", "At risk", "Payment", "What happened", "Opened", "Somebody told", "Closed"];
    const ALL: &'static str = "?status=any";
    const FIELDS: &'static [Field] = &[
        Field::one("status", "State", || vec![CaseStatus::Open.as_str(), CaseStatus::Closed.as_str(), ANY]),
        Field::one("type", "About", || CaseKind::ALL.iter().map(|kind| kind.as_str()).collect()),
        Field::text("customer", "Customer"),
        Field::check("stuck", "nobody told"),
    ];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(self) -> Vec<Cell> {
        let time = |at: Option<_>| at.map_or(Cell::None, |at| Cell::Time(shown::time(at)));
        vec![
            Cell::State(self.status.as_str()),
            Cell::Text(self.kind.to_string()),
            self.at_risk.map_or(Cell::None, |money| Cell::Number(money.to_string())),
            Cell::id(self.payment),
            Cell::Wide(self.summary),
            Cell::Time(shown::time(self.opened_at)),
            time(self.alerted_at),
            time(self.closed_at),
        ]
    }

    fn settle(query: &mut Query) {
        if query.status.is_empty() {
            CaseStatus::Open.as_str().clone_into(&mut query.status);
        }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.cases(filter).await
    }
}
