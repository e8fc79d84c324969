//! `discuno runs`.

use discuno::model::run::RunState;
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::{Filter, RunLine};
use discuno::workflow;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};

/// List runs: what is at work, what waits for what, what failed
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno runs --status failed --since 2h\n  discuno runs --stuck --watch\n  \
    discuno runs --workflow send-email --error rate_limited")]
pub(crate) struct Args {
    #[arg(long, value_name = "STATE", value_delimiter = ',', help = one_of(RunState::ALL))]
    status: Vec<String>,
    /// The workflow's name
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// The step that was tried last
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// A part of the failure
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// A part of the customer's address
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// Tried in vain, or due and not taken, for a quarter of an hour
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(&args.status, RunState::ALL)?;
    words(args.workflow.as_slice(), &workflow::NAMES)?;
    let filter = Filter {
        status: args.status,
        workflow: args.workflow,
        step: args.step,
        error: args.error,
        customer: args.customer,
        ..Filter::default()
    };
    show::<RunLine>(args.common, filter, args.stuck).await
}

impl Line for RunLine {
    const LIST: &'static str = "runs";
    const PREFIX: &'static str = "run";
    const COLUMNS: &'static [&'static str] =
        &["run", "workflow", "state", "step", "try", "failure", "payment", "due or ended", "created"];

    fn id(&self) -> String {
        self.run.id.to_string()
    }

    fn cells(&self, _: People) -> Vec<String> {
        let run = &self.run;
        let failure = run.failure.as_ref().or(self.last_failure.as_ref());
        let state = match &run.outcome {
            Some(outcome) => format!("{}: {outcome}", run.state),
            None => run.state.to_string(),
        };
        vec![
            run.id.to_string(),
            run.workflow.clone(),
            state,
            or_dash(self.step.as_ref()),
            or_dash(self.attempt),
            or_dash(failure.map(|failure| &failure.code)),
            or_dash(run.payment),
            or_dash(run.due_at.or(run.finished_at).map(time)),
            time(run.created_at),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.runs(filter).await
    }
}
