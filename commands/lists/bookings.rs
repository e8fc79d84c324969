//! `discuno bookings`.

use discuno::model::booking::{Booking, BookingStatus};
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::Filter;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};

/// List bookings: the calendar as Cal.com tells it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno bookings --status accepted\n  discuno bookings --customer zoe@ --json")]
pub(crate) struct Args {
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help = one_of(BookingStatus::ALL))]
    status: Vec<String>,
    /// A part of an attendee's or the host's address
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// Over for a quarter of an hour, and not said to be over
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(&args.status, BookingStatus::ALL)?;
    let filter = Filter { status: args.status, customer: args.customer, ..Filter::default() };
    show::<Booking>(args.common, filter, args.stuck).await
}

impl Line for Booking {
    const LIST: &'static str = "bookings";
    const PREFIX: &'static str = "bk";
    const COLUMNS: &'static [&'static str] =
        &["booking", "payment", "status", "start", "host", "attendee", "absent", "uid"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self, people: People) -> Vec<String> {
        let absent = match (self.host_absent, self.attendee_absent) {
            (false, false) => "-",
            (true, false) => "host",
            (false, true) => "attendee",
            (true, true) => "both",
        };
        vec![
            self.id.to_string(),
            or_dash(self.payment),
            self.facts.status.to_string(),
            time(self.facts.start),
            or_dash(self.facts.host_email().map(|address| people.email(address))),
            or_dash(self.facts.attendees.first().map(|person| people.email(&person.email))),
            absent.to_owned(),
            self.facts.uid.clone(),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.bookings(filter).await
    }
}
