//! `discuno resolve`: closes a case.

use discuno::app::{App, Parts};
use discuno::model::case::Resolution;
use discuno::model::id::CaseId;
use discuno::store::order::{Deed, Order};
use serde_json::json;

use crate::confirm::Confirm;
use crate::exit::{Exit, Usage};
use crate::output;
use crate::runtime::{Overrides, actor, start_log};

/// Close a case, with how it came out
///
/// `refunded` and `booked` are held against the books and refused where these say otherwise.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  discuno resolve case_3 --as refunded\n  \
    discuno resolve case_3 --as settled_elsewhere --reason \"paid by bank transfer on 3 May\"")]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// The case
    case: CaseId,
    /// refunded, booked, settled_elsewhere, false_alarm
    #[arg(long = "as", value_name = "RESOLUTION")]
    resolution: Resolution,
    /// Why, for the audit trail; needed unless the books show it
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    if args.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) && !args.resolution.is_in_the_books() {
        return Err(Usage(format!("{} needs a --reason: the books do not show it", args.resolution)).into());
    }
    let config = args.overrides.config(&[])?;
    start_log(&config, false)?;
    let app = App::existing(config, Parts::system())?;
    let deed = Deed::Resolve { case: args.case, resolution: args.resolution };
    let order = Order { actor: actor(), reason: args.reason, deed };
    app.store.rehearse(order.clone(), app.clock.now()).await?;
    let case = app.store.case(args.case).await?;
    let at_risk = case.at_risk.map(|money| format!(" ({money} at risk)")).unwrap_or_default();
    output::note(&format!("{} {}{at_risk}: {}", case.id, case.kind, output::without_addresses(&case.summary)));
    if args.confirm.dry_run {
        output::note("nothing was done: --dry-run");
        if args.json {
            let (case, resolution) = (case.id, args.resolution);
            output::document(&json!({ "case": case, "resolution": resolution, "result": "planned", "act": null }))?;
        }
        return Ok(Exit::Done);
    }
    args.confirm.agreed(&format!("close it as {}?", args.resolution))?;
    let performed = app.store.operate(order, app.clock.now()).await?;
    let said = if performed.act.is_some() { "closed" } else { "was closed before" };
    let document = json!({ "case": case.id, "resolution": args.resolution, "result": said, "act": performed.act });
    output::outcome(args.json, [&case.id.to_string(), said], &document)?;
    Ok(Exit::Done)
}
