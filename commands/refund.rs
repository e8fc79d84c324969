//! `discuno refund`: pays back on purpose.

use std::time::Duration;

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::config::Problems;
use discuno::model::id::{RefundId, RunId};
use discuno::model::money::Money;
use discuno::model::refund::{Refund, RefundStatus};
use discuno::model::run::Run;
use discuno::ops::refund::{Plan, plan};
use discuno::store::Subject;
use discuno::store::error::Error;
use discuno::store::order::{Deed, Order, RefundOrder};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::confirm::Confirm;
use crate::exit::{Exit, Usage};
use crate::output::{self, Table};
use crate::runtime::{Overrides, actor, span, start_log};

/// Pay a payment back, in full or in part
///
/// Shows the plan, asks for the amount to be typed, and stays until Stripe has answered. Repeating it returns the refund that
/// is there. If this process dies, a worker goes on with it.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno refund pay_7\n  discuno refund pi_3Qx… --amount 12.50 --reason \"half the session\"\n  \
    discuno refund pay_7 --cancel-booking --yes\n\nExit status: 0 refunded, or it was so already · 3 no such payment · 5 it cannot be refunded · \
    6 nobody said yes · 8 Stripe has not settled it, or its answer is not known yet · 130 interrupted: once it is recorded a worker \
    goes on with it all the same"
)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Any whole id of it: pay_…, pi_…, cs_…, a Cal.com uid
    payment: String,
    /// How much, in the payment's currency [default: all that is left]
    #[arg(long, allow_negative_numbers = true, value_name = "AMOUNT")]
    amount: Option<String>,
    /// Why, for the books
    #[arg(long)]
    reason: Option<String>,
    /// Call the session off at Cal.com too
    #[arg(long)]
    cancel_booking: bool,
    /// A further refund although one of the same amount is there
    #[arg(long, requires = "amount")]
    another: bool,
    #[command(flatten)]
    confirm: Confirm,
    /// How long to stay for Stripe's answer once the refund is recorded; the look at Stripe for the plan takes up to 20s of its own
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span)]
    wait: Duration,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.overrides.config(&[])?;
    start_log(&config, false)?;
    let missing = config.missing_for_worker();
    if !missing.is_empty() {
        return Err(Problems(missing).into());
    }
    let app = App::existing(config, Parts::system())?;
    let Subject::Payment(id) = app.store.resolve_whole(&args.payment).await? else {
        return Err(Usage(format!("{} belongs to no payment", args.payment)).into());
    };
    let payment = app.store.payment(id).await?;
    let amount = args.amount.as_deref().map(|text| Money::parse(text, payment.amount.currency)).transpose();
    let amount = amount.map_err(|error| Usage(format!("{error} in {}", payment.amount.currency)))?;
    let Args { another, cancel_booking, .. } = args;
    let order = RefundOrder { payment: id, amount, another, seen: None, cancel_booking };
    let means = app.means_over_http()?;
    let plan = plan(&app.store, &means.providers.stripe, &order, app.is_live(), app.clock.now()).await;
    let plan = plan.context("nothing was paid back")?;
    if args.confirm.dry_run {
        return print_plan(&plan, args.json);
    }
    if plan.existing.is_none() || plan.carries_on {
        show_plan(&plan);
        args.confirm.typed(&format!("Type the amount ({}) to refund it", plan.amount), |typed| {
            Money::parse(typed, plan.amount.currency) == Ok(plan.amount)
        })?;
    }
    let order = Order { actor: actor(), reason: args.reason, deed: Deed::Refund(order) };
    // From here on a signal no longer ends the process by itself: what is said then depends on what is recorded.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let performed = tokio::select! {
        biased;
        performed = app.store.operate(order, app.clock.now()) => performed,
        _ = interrupts.recv() => {
            output::note(NOT_KNOWN_WHETHER_RECORDED);
            return Ok(Exit::Interrupted);
        }
    };
    let performed = performed.map_err(|error| match error {
        Error::CommitUnknown(_) => anyhow::Error::new(error).context(NOT_KNOWN_WHETHER_RECORDED),
        error => anyhow::Error::new(error).context("nothing was paid back"),
    })?;
    let refund = performed.refund.context("the store told of no refund")?;
    let goes_on = format!(
        "{refund} is recorded and a worker goes on with it; repeated, this command pays nothing twice. `discuno show {id}`"
    );
    let carried = match performed.run {
        Some(run) => Some(carry(&app, run, refund, args.wait, &mut interrupts).await.with_context(|| goes_on.clone())?),
        None => None,
    };
    let interrupted = matches!(carried, Some((_, Left::Interrupted)));
    let run = carried.map(|(run, _)| run);
    let goes_on = interrupted.then_some(&*goes_on);
    report(&app, &plan, refund, run.as_ref(), performed.act.is_none(), goes_on, args.json).await
}

const NOT_KNOWN_WHETHER_RECORDED: &str =
    "it is not known whether the refund was recorded: repeat this command, nothing is paid twice";

/// Why a run is no longer moved in this process.
enum Left {
    /// It has ended, or has been waited for long enough.
    Waited,
    /// The person who watched has seen enough.
    Interrupted,
}

/// Moves the run in this process, for as long as is waited. A call in flight is then given up as if this process had been killed: it
/// is recorded as sent, and who takes the run next looks before it sends again.
async fn carry(
    app: &App,
    run: RunId,
    refund: RefundId,
    wait: Duration,
    interrupts: &mut Signal,
) -> anyhow::Result<(Run, Left)> {
    let spinner = ProgressBar::new_spinner().with_message(format!("{refund}: asking Stripe"));
    spinner.enable_steady_tick(Duration::from_millis(120));
    let (carried, left) = tokio::select! {
        carried = tokio::time::timeout(wait, app.worker()?.carry(run, wait)) => (carried.ok(), Left::Waited),
        _ = interrupts.recv() => (None, Left::Interrupted),
    };
    spinner.finish_and_clear();
    let run = match carried {
        Some(run) => run?,
        None => app.store.run(run).await?,
    };
    Ok((run, left))
}

/// Prints the refund. `goes_on` is what is to be said of one that was left before Stripe had answered.
async fn report(
    app: &App,
    plan: &Plan,
    refund: RefundId,
    run: Option<&Run>,
    already: bool,
    goes_on: Option<&str>,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let refund = app.store.refund(refund).await?;
    let printed = if as_json {
        output::document(&json!({ "plan": plan, "refund": refund, "run": run, "already": already }))
    } else {
        let mut table = Table::new(["refund", "status", "amount", "payment", "stripe", "run"]);
        table.row([
            refund.id.to_string(),
            refund.status.to_string(),
            refund.amount.to_string(),
            refund.payment.to_string(),
            refund.stripe_refund_id.clone().unwrap_or_else(|| "-".to_owned()),
            run.map_or_else(|| "-".to_owned(), |run| run.id.to_string()),
        ]);
        table.print().map_err(anyhow::Error::from)
    };
    if let (Some(goes_on), RefundStatus::Intended | RefundStatus::Sent) = (goes_on, refund.status) {
        output::note(goes_on);
        return Ok(Exit::Interrupted);
    }
    // What became of the money is said and decides, whoever still reads what we print.
    match outcome(&refund, run, already)? {
        Exit::Done => printed.map(|()| Exit::Done),
        exit => Ok(exit),
    }
}

/// What is to be said of it, and how the command ends.
fn outcome(refund: &Refund, run: Option<&Run>, already: bool) -> anyhow::Result<Exit> {
    let Refund { id, amount, payment, .. } = refund;
    match refund.status {
        RefundStatus::Succeeded if already => {
            output::note(&format!("{amount} of {payment} was refunded before: nothing was done twice"));
        }
        RefundStatus::Succeeded => output::note(&format!("{amount} of {payment} is on its way to the customer")),
        RefundStatus::Pending => {
            output::note(&format!(
                "pending: Stripe has taken {id} and not settled it; its news is followed. `discuno show {payment}`"
            ));
            return Ok(Exit::Pending);
        }
        RefundStatus::Intended | RefundStatus::Sent => {
            let known = match refund.status {
                RefundStatus::Intended => format!("not made: Stripe has not been asked for {id} yet"),
                _ => format!("unknown: Stripe has not said whether {id} was made"),
            };
            let next = match run.and_then(|run| run.due_at) {
                Some(due) => format!("a worker goes on with it at {due}"),
                None => "nobody is at work on it: repeat this command".to_owned(),
            };
            output::note(&format!("{known}; {next}. Nothing is paid twice. `discuno show {payment}`"));
            return Ok(Exit::Pending);
        }
        RefundStatus::Failed | RefundStatus::Canceled => {
            let why = refund.failure.as_ref().map_or("no reason given", |failure| failure.message.as_str());
            anyhow::bail!("{id} is {}: {why}; the money is still here. `discuno show {payment}`", refund.status);
        }
    }
    Ok(Exit::Done)
}

fn rows(plan: &Plan) -> Vec<(&'static str, String)> {
    let intent = plan.payment_intent.as_deref().unwrap_or("none");
    let refunded = match plan.unconfirmed.minor {
        0 => plan.refunded.to_string(),
        _ => format!("{}, of which {} is not confirmed by Stripe", plan.refunded, plan.unconfirmed),
    };
    let this = match plan.existing.filter(|_| plan.carries_on) {
        Some(refund) => format!("{}: {refund} is carried on, Stripe is asked first", plan.amount),
        None => plan.amount.to_string(),
    };
    vec![
        ("payment", format!("{} ({intent}), {}, {}", plan.payment, plan.mode, plan.status)),
        ("customer", plan.customer.clone().unwrap_or_else(|| "not known".to_owned())),
        ("paid", plan.paid.to_string()),
        ("refunded", refunded),
        ("this refund", this),
        ("share", plan.share.clone()),
        ("session", plan.session.clone()),
    ]
}

fn show_plan(plan: &Plan) {
    for (name, value) in rows(plan) {
        output::note(&format!("{name:>12}  {value}"));
    }
}

fn print_plan(plan: &Plan, as_json: bool) -> anyhow::Result<Exit> {
    if as_json {
        output::document(plan)?;
    } else {
        let mut table = Table::new(["what", "plan"]);
        for (name, value) in rows(plan) {
            table.row([name.to_owned(), value]);
        }
        table.print()?;
    }
    match plan.existing {
        Some(refund) if plan.carries_on => output::note(&format!("{refund} would be carried on: --dry-run")),
        Some(refund) => output::note(&format!("{refund} is there already: it would be returned")),
        None => output::note("nothing was done: --dry-run"),
    }
    Ok(Exit::Done)
}
