//! `discuno show`: one story in the order of time.

use std::io::Write;

use discuno::app::{App, Parts};
use discuno::model::event::{Event, Source};
use discuno::model::refund::Refund;
use discuno::model::step::Ending;
use discuno::model::time::Timestamp;
use discuno::store::Story;
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
    let app = App::existing(args.overrides.config(&[])?, Parts::system())?;
    let subject = app.store.resolve(&args.id).await?;
    let story = app.store.story(subject).await?;
    if args.raw || args.reveal {
        let payment = story.payment.as_ref().map(|payment| payment.id);
        let deed = Deed::Reveal { subject: args.id.clone(), payment };
        app.store.operate(Order { actor: actor(), reason: None, deed }, app.clock.now()).await?;
    }
    if args.raw {
        return raw(&app, &args.id, &story).await;
    }
    if args.json {
        let runs: Vec<_> =
            story.runs.iter().map(|(run, attempts)| json!({ "run": run, "attempts": attempts })).collect();
        let mut document = json!({
            "payment": story.payment, "events": story.events, "runs": runs, "bookings": story.bookings,
            "refunds": story.refunds, "transfers": story.transfers, "disputes": story.disputes, "mails": story.mails, "cases": story.cases, "acts": story.acts,
        });
        if !args.reveal {
            output::mask_people(&mut document);
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
    for (time, what, detail) in timeline(&story) {
        let detail = if args.reveal { detail } else { output::without_addresses(&detail) };
        table.row([time.to_string(), what, detail]);
    }
    table.print()?;
    Ok(Exit::Done)
}

/// The bytes as they came: of the event that is named, or of every event of the story.
async fn raw(app: &App, id: &str, story: &Story) -> anyhow::Result<Exit> {
    let named = |event: &&Event| event.id.to_string() == id || event.external_id == id;
    let one: Vec<&Event> = story.events.iter().filter(named).collect();
    let events = if one.is_empty() { story.events.iter().collect() } else { one };
    for event in events {
        let mut body = app.store.body(event.id).await?;
        body.push(b'\n');
        std::io::stdout().lock().write_all(&body)?;
    }
    Ok(Exit::Done)
}

type Moment = (Timestamp, String, String);

fn timeline(story: &Story) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    for event in &story.events {
        let from = if event.source == Source::Stripe { "stripe" } else { event.source.as_str() };
        let why = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        moments.push((
            event.received_at,
            format!("{} from {from}", event.id),
            format!("{} {} {}{why}", event.kind, event.external_id, event.disposition),
        ));
    }
    for (run, attempts) in &story.runs {
        moments.push((run.created_at, format!("{} started", run.id), format!("{}, key {}", run.workflow, run.key)));
        for attempt in attempts {
            let took = attempt.ended_at.since(attempt.started_at).as_millis();
            let how = match &attempt.ending {
                Ending::Done { .. } => "done".to_owned(),
                Ending::Retry { failure } => format!("to be retried, {}: {}", failure.kind, failure.message),
                Ending::Failed { failure } => format!("failed, {}: {}", failure.kind, failure.message),
            };
            moments.push((
                attempt.ended_at,
                format!("{} step", run.id),
                format!("{} try {} ({took} ms) {how}", attempt.step, attempt.number),
            ));
        }
        if let Some(finished) = run.finished_at {
            let how = run.failure.as_ref().map(|failure| format!("{}: {}", failure.code, failure.message));
            let how = run.outcome.clone().or(how).unwrap_or_default();
            moments.push((finished, format!("{} {}", run.id, run.state), how));
        } else if let Some(due) = run.due_at {
            moments.push((due, format!("{} {}", run.id, run.state), "due then".to_owned()));
        }
    }
    for booking in &story.bookings {
        let facts = &booking.facts;
        let absent = if booking.host_absent { ", the host did not come" } else { "" };
        moments.push((
            booking.created_at,
            format!("{} booked", booking.id),
            format!("{} for {}, now {}{absent}", facts.uid, facts.start, facts.status),
        ));
    }
    for refund in &story.refunds {
        let stripe = refund.stripe_refund_id.as_deref().unwrap_or("not at stripe");
        let why = refund.failure.as_ref().map(|failure| format!(": {}", failure.message)).unwrap_or_default();
        let Refund { amount, origin, status, reason, .. } = refund;
        let key = refund.idempotency_key();
        moments.push((
            refund.created_at,
            format!("{} refund", refund.id),
            format!("{amount} by {origin} ({stripe}), key {key}, because {reason}, now {status}{why}"),
        ));
    }
    for transfer in &story.transfers {
        let stripe = transfer.stripe_transfer_id.as_deref().unwrap_or("not at stripe");
        moments.push((
            transfer.created_at,
            format!("{} transfer", transfer.id),
            format!(
                "{} to {} ({stripe}), key {}, now {}",
                transfer.amount,
                transfer.destination,
                transfer.idempotency_key(),
                transfer.status
            ),
        ));
    }
    for dispute in &story.disputes {
        let due = dispute.due_at.map(|due| format!(", evidence until {due}")).unwrap_or_default();
        moments.push((
            dispute.as_of,
            format!("{} dispute", dispute.id),
            format!("{} {} ({}){due}", dispute.amount, dispute.status, dispute.reason),
        ));
    }
    for mail in &story.mails {
        moments.push((
            mail.created_at,
            format!("{} e-mail", mail.id),
            format!("{} to {}, key {}, now {}", mail.letter.subject, mail.letter.to, mail.letter.key, mail.status),
        ));
    }
    for case in &story.cases {
        if let (Some(closed), Some(how)) = (case.closed_at, &case.resolution) {
            moments.push((closed, format!("{} closed", case.id), how.clone()));
        }
        let told = case.alerted_at.map_or_else(|| "nobody told yet".to_owned(), |at| format!("told at {at}"));
        moments.push((
            case.opened_at,
            format!("{} opened", case.id),
            format!("{}: {} ({told})", case.kind, case.summary),
        ));
    }
    for act in &story.acts {
        let why = act.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        moments.push((act.at, format!("{} {}", act.id, act.verb), format!("{} by {}{why}", act.subject, act.actor)));
    }
    moments.sort_by_key(|(time, _, _)| *time);
    moments
}
