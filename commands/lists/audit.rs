//! `discuno audit`.

use discuno::app::{App, Parts};
use discuno::model::act::{Act, Verb};
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::store::filter::Filter;
use serde_json::json;

use crate::exit::Exit;
use crate::lists::{Common, Line, People, one_of, or_dash, show, time, words};
use crate::output;

/// List what operators did: who, when, why, before and after
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno audit --since yesterday\n  discuno audit --verb refund --actor mia\n  discuno audit --verify"
)]
pub(crate) struct Args {
    #[arg(long, value_name = "VERB", value_delimiter = ',', help = one_of(Verb::ALL))]
    verb: Vec<String>,
    /// Who
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Check that no row is missing and none was altered; findings exit with 9
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    words(&args.verb, Verb::ALL)?;
    if args.verify {
        let app = App::looking(args.common.overrides.config(&[])?, Parts::system())?;
        let broken = app.store.broken_act().await?;
        if args.common.json {
            output::document(&json!({ "broken": broken }))?;
            return Ok(if broken.is_none() { Exit::Done } else { Exit::Findings });
        }
        return Ok(match broken {
            None => {
                output::note("the trail is whole");
                Exit::Done
            }
            Some(act) => {
                output::note(&format!(
                    "{act} does not follow from the act before it: rows are missing or were altered"
                ));
                Exit::Findings
            }
        });
    }
    let filter = Filter { status: args.verb, source: args.actor, ..Filter::default() };
    show::<Act>(args.common, filter, false).await
}

impl Line for Act {
    const LIST: &'static str = "acts";
    const PREFIX: &'static str = "act";
    const TEAM: Option<&'static str> = Some("actor");
    const COLUMNS: &'static [&'static str] =
        &["act", "at", "actor", "verb", "subject", "reason", "payment", "before", "after"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self, _: People) -> Vec<String> {
        vec![
            self.id.to_string(),
            time(self.at),
            self.actor.clone(),
            self.verb.to_string(),
            self.subject.clone(),
            or_dash(self.reason.as_ref()),
            or_dash(self.payment),
            self.before.to_string(),
            self.after.to_string(),
        ]
    }

    async fn fetch(store: &Shared, filter: Filter) -> Result<Vec<Self>, Error> {
        store.acts(filter).await
    }
}
