//! `discuno events`.

use discuno::model::event::{Disposition, Event, Source};
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::Filter;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};

/// List events: what came in, and what was made of it
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno events --type 'charge.dispute.*'\n  discuno events --source cal --status attention\n  \
    discuno events --since 1h --watch"
)]
pub(crate) struct Args {
    #[arg(long, value_name = "DISPOSITION", value_delimiter = ',', help = one_of(Disposition::ALL))]
    status: Vec<String>,
    #[arg(long, value_name = "SOURCE", help = one_of(Source::ALL))]
    source: Option<String>,
    /// The sender's type; a * at the end stands for anything
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// A part of why nothing followed
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// A part of the customer's address
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// Waiting for a payment that does not come
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(&args.status, Disposition::ALL)?;
    words(args.source.as_slice(), Source::ALL)?;
    let filter = Filter {
        status: args.status,
        source: args.source,
        kind: args.kind,
        error: args.error,
        customer: args.customer,
        ..Filter::default()
    };
    show::<Event>(args.common, filter, args.stuck).await
}

impl Line for Event {
    const LIST: &'static str = "events";
    const PREFIX: &'static str = "ev";
    const COLUMNS: &'static [&'static str] =
        &["event", "source", "type", "disposition", "payment", "received", "reason", "external id"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self, _: People) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.source.to_string(),
            self.kind.clone(),
            self.disposition.to_string(),
            or_dash(self.payment),
            time(self.received_at),
            or_dash(self.reason.as_ref()),
            self.external_id.clone(),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.events(filter).await
    }
}
