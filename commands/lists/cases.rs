//! `discuno cases`.

use discuno::model::case::{Case, CaseKind, CaseStatus};
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::Filter;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};

/// List cases: what only a person can settle, with the money at risk
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno cases\n  discuno cases --all --kind refund_failed --since 30d")]
pub(crate) struct Args {
    /// Closed ones too
    #[arg(long, conflicts_with = "status")]
    all: bool,
    #[arg(long, value_name = "STATUS", value_delimiter = ',', default_value = "open", help = one_of(CaseStatus::ALL))]
    status: Vec<String>,
    /// What it is about: refund_failed, disputed, booking_unclear, …
    #[arg(long, visible_alias = "type", value_name = "KIND")]
    kind: Option<String>,
    /// A part of the customer's address
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// Open, and nobody has been told yet
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(args.kind.as_slice(), CaseKind::ALL)?;
    words(&args.status, CaseStatus::ALL)?;
    let status = if args.all { Vec::new() } else { args.status };
    let filter = Filter { status, kind: args.kind, customer: args.customer, ..Filter::default() };
    show::<Case>(args.common, filter, args.stuck).await
}

impl Line for Case {
    const LIST: &'static str = "cases";
    const PREFIX: &'static str = "case";
    const COLUMNS: &'static [&'static str] =
        &["case", "kind", "at risk", "payment", "summary", "status", "opened", "told"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self, _: People) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.kind.to_string(),
            or_dash(self.at_risk),
            or_dash(self.payment),
            self.summary.clone(),
            self.status.to_string(),
            time(self.opened_at),
            or_dash(self.alerted_at.map(time)),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.cases(filter).await
    }
}
