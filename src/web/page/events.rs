//! The list of events.

use crate::model::event::{Disposition, Event, Source};
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::web::page::list::{Cell, Field, Listed};
use crate::web::shown;

impl Listed for Event {
    const PART: &'static str = "events";
    const TITLE: &'static str = "Events";
    const COLUMNS: &'static [&'static str] = &["From", "Type", "Made of it", "Payment", "Received", "Why", "Their id"];
    const FIELDS: &'static [Field] = &[
        Field::one("status", "Made of it", || Disposition::ALL.iter().map(|word| word.as_str()).collect()),
        Field::one("source", "From", || Source::ALL.iter().map(|source| source.as_str()).collect()),
        Field::text("type", "Type (* for anything)"),
        Field::text("error", "Why"),
        Field::text("customer", "Customer"),
        Field::check("stuck", "waits for its payment"),
    ];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(self) -> Vec<Cell> {
        vec![
            Cell::Text(self.source.to_string()),
            Cell::Text(self.kind),
            Cell::State(self.disposition.as_str()),
            Cell::id(self.payment),
            Cell::Time(shown::time(self.received_at)),
            Cell::Wide(self.reason.unwrap_or_default()),
            Cell::Text(self.external_id),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.events(filter).await
    }
}
