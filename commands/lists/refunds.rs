//! `discuno refunds`.

use discuno::model::refund::{Refund, RefundOrigin, RefundStatus};
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::Filter;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};

/// List refunds: who wanted them and what Stripe said
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno refunds --status sent,pending\n  discuno refunds --origin operator --since yesterday"
)]
pub(crate) struct Args {
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help = one_of(RefundStatus::ALL))]
    status: Vec<String>,
    #[arg(long, visible_alias = "source", value_name = "ORIGIN", help = one_of(RefundOrigin::ALL))]
    origin: Option<String>,
    /// A part of the customer's address
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// A part of the failure
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Not settled for a quarter of an hour
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(&args.status, RefundStatus::ALL)?;
    words(args.origin.as_slice(), RefundOrigin::ALL)?;
    let filter = Filter {
        status: args.status,
        source: args.origin,
        customer: args.customer,
        error: args.error,
        ..Filter::default()
    };
    show::<Refund>(args.common, filter, args.stuck).await
}

impl Line for Refund {
    const LIST: &'static str = "refunds";
    const PREFIX: &'static str = "rf";
    const COLUMNS: &'static [&'static str] =
        &["refund", "payment", "status", "amount", "origin", "created", "failure", "reason", "stripe"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self, _: People) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.payment.to_string(),
            self.status.to_string(),
            self.amount.to_string(),
            self.origin.to_string(),
            time(self.created_at),
            or_dash(self.failure.as_ref().map(|failure| &failure.code)),
            self.reason.clone(),
            or_dash(self.stripe_refund_id.as_ref()),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.refunds(filter).await
    }
}
