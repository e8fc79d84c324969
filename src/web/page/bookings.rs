//! The list of bookings.

use crate::model::booking::{Booking, BookingStatus};
use crate::observe::mask;
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::filter::Filter;
use crate::web::page::list::{Cell, Field, Listed};
use crate::web::shown;

impl Listed for Booking {
    const PART: &'static str = "bookings";
    const TITLE: &'static str = "Bookings";
    const COLUMNS: &'static [&'static str] =
        &["Payment", "State", "Begins", "Ends", "Host", "Attendee", "Absent", "Called off because", "At Cal.com"];
    const FIELDS: &'static [Field] = &[
        Field::one("status", "State", || BookingStatus::ALL.iter().map(|status| status.as_str()).collect()),
        Field::text("customer", "Attendee or host"),
        Field::check("stuck", "stuck"),
    ];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(self) -> Vec<Cell> {
        let absent = match (self.host_absent, self.attendee_absent) {
            (false, false) => None,
            (true, false) => Some("host"),
            (false, true) => Some("attendee"),
            (true, true) => Some("both"),
        };
        let facts = self.facts;
        vec![
            Cell::id(self.payment),
            Cell::State(facts.status.as_str()),
            Cell::Time(shown::time(facts.start)),
            Cell::Time(shown::time(facts.end)),
            Cell::text(facts.host_email().map(mask::email)),
            Cell::text(facts.attendees.first().map(|guest| mask::email(&guest.email))),
            Cell::text(absent),
            Cell::Wide(facts.reason.unwrap_or_default()),
            Cell::Text(facts.uid),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.bookings(filter).await
    }
}
