//! `discuno show`: one story in the order of time.

use discuno::app::{App, Parts};
use discuno::model::event::Event;
use discuno::ops::timeline::{Moment, timeline};
use discuno::pauses::holding;
use discuno::store::Story;
use discuno::store::error::Error;
use discuno::store::order::{Deed, Order};
use serde_json::json;

use crate::exit::Exit;
use crate::output::{self, Table};
use crate::runtime::{Overrides, actor};

/// Show everything about a payment, run, event, refund, booking, e-mail or case
///
/// Takes any id: ours (pay_1, run_7, case_2), a provider's (pi_…, cs_…, evt_…, re_…, a Cal.com uid), or an unambiguous
/// beginning of one.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno show pay_7\n  discuno show pi_3Qx\n  discuno show ev_12 --raw | jq .")]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Any id
    id: String,
    /// Print one JSON document
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the stored bytes of the events, one after the other; goes into the audit trail
    #[arg(long)]
    raw: bool,
    /// Show people's names and addresses; goes into the audit trail
    #[arg(long)]
    reveal: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.overrides.config(&[])?;
    let open = if args.raw || args.reveal { App::existing } else { App::looking };
    let app = open(config, Parts::system())?;
    let subject = app.store.resolve(&args.id).await?;
    let story = app.store.story(subject).await?;
    if args.raw || args.reveal {
        let payment = story.payment.as_ref().map(|payment| payment.id);
        let deed = Deed::Reveal { subject: args.id.clone(), payment, shown: json!({}) };
        app.store.operate(Order { actor: actor(), reason: None, deed }, app.clock.now()).await?;
    }
    if args.raw {
        return raw(&app, &args.id, &story).await;
    }
    if args.json {
        let mut document = serde_json::to_value(&story)?;
        if !args.reveal {
            output::mask_document(&mut document);
        }
        output::document(&document)?;
        return Ok(Exit::Done);
    }
    if output::is_terminal()
        && let Some(payment) = &story.payment
    {
        let session = &payment.session_id;
        output::line(&format!(
            "{}  {}  {}  {}\nsession {session}  intent {}\n",
            payment.id,
            payment.amount,
            payment.status,
            if payment.livemode { "live" } else { "test" },
            payment.payment_intent.as_deref().unwrap_or("none"),
        ))?;
    }
    let mut table = Table::new(["time", "what", "detail"]);
    for Moment { at, about, what, detail, masked, .. } in timeline(&story) {
        let detail = if args.reveal { detail } else { masked };
        table.row([at.to_string(), format!("{about} {what}"), detail]);
    }
    table.print_whole()?;
    let waiting = story.runs.iter().filter(|(run, _)| !run.state.is_terminal());
    for pause in holding(&app.store, waiting.map(|(run, _)| run.workflow.as_str())).await? {
        output::note(&pause.to_string());
    }
    Ok(Exit::Done)
}

/// The bytes as they came: of the event that is named, or of every event of the story.
async fn raw(app: &App, id: &str, story: &Story) -> anyhow::Result<Exit> {
    let named = |event: &&Event| event.id.to_string() == id || event.external_id == id;
    let one: Vec<&Event> = story.events.iter().filter(named).collect();
    let events = if one.is_empty() { story.events.iter().collect() } else { one };
    let (mut shown, mut gone) = (0, Vec::new());
    for event in events {
        let mut body = match app.store.body(event.id).await {
            Err(Error::NotFound(what)) => {
                gone.push(what);
                continue;
            }
            found => found?,
        };
        body.push(b'\n');
        output::data(&body)?;
        shown += 1;
    }
    if shown == 0
        && let Some(what) = gone.pop()
    {
        return Err(Error::NotFound(what).into());
    }
    for what in gone {
        output::note(&format!("pruned: {what}"));
    }
    Ok(Exit::Done)
}
