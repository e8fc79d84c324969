//! `discuno payments`.

use discuno::model::payment::PaymentStatus;
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::{Filter, PaymentLine};
use discuno::workflow;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};

/// List payments: where each stands and what is not settled
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno payments --status attention\n  discuno payments --customer zoe@ --since 3d\n  \
    discuno payments --step create-calcom-booking --error rate_limited\n  discuno payments --stuck --watch"
)]
pub(crate) struct Args {
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help = one_of(PaymentStatus::ALL))]
    status: Vec<String>,
    /// A part of the customer's address
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// With a run of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// With a run that was tried last at this step
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// With a part of a run's failure
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Taken, not accounted for, and not moved for a quarter of an hour
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(&args.status, PaymentStatus::ALL)?;
    words(args.workflow.as_slice(), &workflow::NAMES)?;
    let Args { status, customer, workflow, step, error, .. } = args;
    let filter = Filter { status, customer, workflow, step, error, ..Filter::default() };
    show::<PaymentLine>(args.common, filter, args.stuck).await
}

impl Line for PaymentLine {
    const LIST: &'static str = "payments";
    const PREFIX: &'static str = "pay";
    const COLUMNS: &'static [&'static str] =
        &["payment", "status", "amount", "refunded", "cases", "customer", "created", "mode", "intent"];

    fn id(&self) -> String {
        self.payment.id.to_string()
    }

    fn cells(&self, people: People) -> Vec<String> {
        let payment = &self.payment;
        vec![
            payment.id.to_string(),
            payment.status.to_string(),
            payment.amount.to_string(),
            self.returned().unwrap_or_else(|| "-".to_owned()),
            if self.open_cases == 0 { "-".to_owned() } else { format!("{} open", self.open_cases) },
            or_dash(payment.customer_email.as_deref().map(|address| people.email(address))),
            time(payment.created_at),
            if payment.livemode { "live" } else { "test" }.to_owned(),
            or_dash(payment.payment_intent.as_ref()),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.payments(filter).await
    }
}
