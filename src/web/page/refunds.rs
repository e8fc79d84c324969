//! The list of refunds.

use crate::model::refund::{Refund, RefundOrigin, RefundStatus};
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::web::page::list::{Cell, Field, Listed};
use crate::web::shown;

impl Listed for Refund {
    const PART: &'static str = "refunds";
    const TITLE: &'static str = "Refunds";
    const COLUMNS: &'static [&'static str] =
        &["Payment", "State", "Amount", "By", "Made", "Settled", "Why", "Failure", "At Stripe"];
    const FIELDS: &'static [Field] = &[
        Field::one("status", "State", || RefundStatus::ALL.iter().map(|status| status.as_str()).collect()),
        Field::one("source", "By", || RefundOrigin::ALL.iter().map(|origin| origin.as_str()).collect()),
        Field::text("customer", "Customer"),
        Field::text("error", "Failure"),
        Field::check("stuck", "stuck"),
    ];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(self) -> Vec<Cell> {
        vec![
            Cell::Id(self.payment.to_string()),
            Cell::State(self.status.as_str()),
            Cell::Number(self.amount.to_string()),
            Cell::Text(self.origin.to_string()),
            Cell::Time(shown::time(self.created_at)),
            self.settled_at.map_or(Cell::None, |at| Cell::Time(shown::time(at))),
            Cell::Wide(self.reason),
            Cell::Wide(self.failure.map(|failure| failure.to_string()).unwrap_or_default()),
            Cell::text(self.stripe_refund_id),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.refunds(filter).await
    }
}
