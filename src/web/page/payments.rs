//! The list of payments.

use crate::model::payment::PaymentStatus;
use crate::observe::mask;
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::{Filter, LOOK, PaymentLine};
use crate::web::page::list::{Cell, Field, Listed};
use crate::web::page::query::Query;
use crate::web::shown;

impl Listed for PaymentLine {
    const PART: &'static str = "payments";
    const TITLE: &'static str = "Payments";
    const COLUMNS: &'static [&'static str] =
        &["State", "Paid", "Refunded", "Open cases", "Customer", "Mentor", "Made", "Changed", "Payment intent"];
    const FIELDS: &'static [Field] = &[
        Field::one("status", "State", || PaymentStatus::ALL.iter().map(|status| status.as_str()).collect()),
        Field::text("customer", "Customer"),
        Field::text("workflow", "Workflow"),
        Field::text("step", "Step"),
        Field::text("error", "Failure"),
        Field::check("stuck", "stuck"),
    ];

    fn id(&self) -> String {
        self.payment.id.to_string()
    }

    fn cells(self) -> Vec<Cell> {
        let returned = self.returned();
        let payment = self.payment;
        vec![
            Cell::State(payment.status.as_str()),
            Cell::Number(payment.amount.to_string()),
            returned.map_or(Cell::None, Cell::Number),
            Cell::text(Some(self.open_cases).filter(|&cases| cases > 0)),
            Cell::text(payment.customer_email.as_deref().map(mask::email)),
            Cell::text(payment.checkout.map(|checkout| checkout.mentor_username)),
            Cell::Time(shown::time(payment.created_at)),
            Cell::Time(shown::time(payment.updated_at)),
            Cell::text(payment.payment_intent),
        ]
    }

    /// Each payment's runs are looked through for their failures.
    fn look(query: &Query) -> i64 {
        let of_runs = [&query.workflow, &query.step, &query.error].iter().any(|asked| !asked.is_empty());
        if of_runs { LOOK / 10 } else { LOOK }
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.payments(filter).await
    }
}
