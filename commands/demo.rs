//! `discuno demo`: the whole of it on a temporary database, from recorded webhooks to the providers' ledgers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use discuno::clock::Clock;
use discuno::config::Config;
use discuno::model::payment::{Payment, PaymentStatus};
use discuno::model::run::RunState;
use discuno::model::time::Timestamp;
use discuno::sandbox::ledger::Ledger;
use discuno::store::change::CHECKOUT_WORKFLOW;
use discuno::store::filter::Filter;
use discuno::store::{Shared, Story, Subject};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dev::Playground;
use crate::exit::Exit;
use crate::output::{self, Table};
use crate::replay::{Delivery, Secrets, Sender, Tally, fixture, scenes};
use crate::runtime::{start_log, stop_signal};

/// The recorded events: first what is bought, then what becomes of it.
const ACTS: [&[&str]; 2] = [&["stripe.json", "connect.json", "app.json"], &["cal.json", "life.json"]];
/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What waits longer than this waits on purpose: for analytics that are down, for the next look after a refund.
const SOON: Duration = Duration::from_secs(3);

/// Show everything at work: needs nothing, leaves nothing behind
///
/// Starts a server, a worker and stand-ins for the providers on a temporary database, plays a week of the marketplace from
/// the fixtures, prints what became of every payment with the providers' ledgers beside ours, and exits 0 only if every paid session
/// ended rightly.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Play it on this database, which has to be empty and is kept: postgres://…, or a file [default: a temporary file]
    #[arg(long, value_name = "DATABASE")]
    db: Option<PathBuf>,
    /// Keep the log here (JSON lines)
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let stop = stop_signal()?;
    if let Some(db) = args.db {
        return play(db, args.log_file, stop).await;
    }
    let dir = std::env::temp_dir().join(format!("discuno-demo-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("could not make {}", dir.display()))?;
    let outcome = play(dir.join("demo.db"), args.log_file, stop).await;
    std::fs::remove_dir_all(&dir).with_context(|| format!("could not remove {}", dir.display()))?;
    outcome
}

async fn play(db: PathBuf, log_file: Option<PathBuf>, stop: CancellationToken) -> anyhow::Result<Exit> {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let adjust = |config: &mut Config| {
        config.retry_base = Duration::from_millis(50);
        config.settle_after = Duration::from_millis(500);
        config.alerts.group = Duration::ZERO;
        config.log_file = log_file;
    };
    let playground = Playground::open(db, anywhere, anywhere, adjust).await?;
    start_log(&playground.app.config, false)?;
    anyhow::ensure!(
        playground.app.store.payments(Filter::newest(1)).await?.is_empty(),
        "{} holds payments: the demo needs a database of its own",
        playground.app.config.place()
    );
    let (store, sandbox) = (Arc::clone(&playground.app.store), playground.sandbox.clone());
    let sender = Sender::new(&format!("http://{}", playground.listen), Secrets::sandbox(), Clock::System)?;
    let running = tokio::spawn(playground.run(stop.clone()));
    // What fails because the server stops was interrupted.
    let performed = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        performed = perform(&store, &sender) => Some(performed),
    };
    // However it ended: nobody writes to the folder any more when it is removed.
    stop.cancel();
    running.await??;
    let Some(performed) = performed else {
        output::note("interrupted: nothing was judged");
        return Ok(Exit::Interrupted);
    };
    let (tally, settled) = performed?;

    let wrong = print(&store, &sandbox.ledger()).await?;
    if output::is_terminal() {
        output::line("")?;
    }
    tally.print()?;
    if !wrong.is_empty() {
        let (count, ids) = (wrong.len(), wrong.join(", "));
        let are = if count == 1 { "payment is" } else { "payments are" };
        output::note(&format!("{count} {are} WRONG, held against the providers' ledgers: {ids}"));
    }
    if !settled {
        output::note("some runs did not come to their end in time");
    }
    Ok(if wrong.is_empty() && settled && tally.rejected == 0 { Exit::Done } else { Exit::Findings })
}

/// Sends everything. What came of it, and whether all of it ended in time.
async fn perform(store: &Shared, sender: &Arc<Sender>) -> anyhow::Result<(Tally, bool)> {
    let (mut tally, mut settled) = (Tally::default(), true);
    for act in acts()? {
        let deliveries = act.iter().map(Delivery::of).collect::<anyhow::Result<_>>()?;
        sender.send_all(deliveries, None, 1, &mut tally).await?;
        settled &= settle(store).await?;
    }
    Ok((tally, settled))
}

/// The recorded events with their dates moved to now, all by the same span.
fn acts() -> anyhow::Result<Vec<Vec<Value>>> {
    let mut acts = Vec::new();
    for files in ACTS {
        let mut act: Vec<Value> = Vec::new();
        for file in files {
            act.extend(scenes::events(file)?);
        }
        acts.push(act);
    }
    let mut all: Vec<Value> = acts.iter().flatten().cloned().collect();
    fixture::move_to(&mut all, Clock::System.now());
    for act in acts.iter_mut().rev() {
        *act = all.split_off(all.len() - act.len());
    }
    Ok(acts)
}

/// Waits until nothing is being done, nor due soon. Whether that happened in time.
async fn settle(store: &Shared) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let mut changes = store.changes();
    while Instant::now() < deadline {
        changes.mark_unchanged();
        if is_at_rest(store, Clock::System.now()).await? {
            return Ok(true);
        }
        let _ = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
    }
    Ok(false)
}

async fn is_at_rest(store: &Shared, now: Timestamp) -> anyhow::Result<bool> {
    let ahead = store.backlog(now.plus(SOON)).await?;
    // A booking may be tried again later than that.
    let queued = vec![RunState::Queued.to_string()];
    let booking = Filter { workflow: Some(CHECKOUT_WORKFLOW.to_owned()), status: queued, ..Filter::newest(1) };
    Ok(ahead.due == 0 && ahead.running == 0 && store.runs(booking).await?.is_empty())
}

/// Prints what became of every payment. Which did not end rightly.
async fn print(store: &Shared, theirs: &Ledger) -> anyhow::Result<Vec<String>> {
    let columns =
        ["payment", "verdict", "scenario", "amount", "became", "booked at cal.com", "refunded at stripe", "told"];
    let (mut table, mut wrong) = (Table::new(columns), Vec::new());
    let mut payments = store.payments(Filter::newest(1000)).await?;
    payments.reverse();
    for payment in payments.into_iter().map(|line| line.payment) {
        let story = store.story(Subject::Payment(payment.id)).await?;
        let verdict = Verdict::of(&payment, &story, theirs);
        if !verdict.right {
            wrong.push(payment.id.to_string());
        }
        table.row([
            payment.id.to_string(),
            if verdict.right { "right" } else { "WRONG" }.to_owned(),
            scenario(&payment),
            payment.amount.to_string(),
            payment.status.to_string(),
            if verdict.booked == 0 { "-".to_owned() } else { format!("{} live", verdict.booked) },
            if verdict.refunded == 0 {
                "-".to_owned()
            } else {
                discuno::model::money::Money::new(verdict.refunded, payment.amount.currency).to_string()
            },
            verdict.told,
        ]);
    }
    table.print()?;
    Ok(wrong)
}

/// The fixture says what each purchase is there to show.
fn scenario(payment: &Payment) -> String {
    payment
        .checkout
        .as_ref()
        .map_or_else(|| "unusable metadata".to_owned(), |order| order.mentor_username.replace('-', " "))
}

/// One payment, held against the ledgers of the providers.
struct Verdict {
    booked: usize,
    refunded: i64,
    told: String,
    right: bool,
}

impl Verdict {
    fn of(payment: &Payment, story: &Story, theirs: &Ledger) -> Self {
        let reference = payment.payment_intent.as_deref().unwrap_or(&payment.session_id);
        let booked = theirs
            .cal
            .bookings
            .iter()
            .filter(|booking| {
                let known = story.bookings.iter().any(|ours| ours.facts.uid == booking.uid);
                let named = booking.metadata.get("paymentId").is_some_and(|id| id == reference);
                booking.status == "accepted" && (known || named)
            })
            .count();
        let refunded = payment.payment_intent.as_deref().map_or(0, |intent| theirs.stripe.refunded(intent));
        let open_case = story.cases.iter().any(|case| case.closed_at.is_none() && case.alerted_at.is_some());
        let paid = payment.amount.minor;
        let right = match payment.status {
            PaymentStatus::Booked => booked == 1 && refunded == 0,
            PaymentStatus::Refunded | PaymentStatus::Refunding => refunded == paid && (booked == 0 || open_case),
            PaymentStatus::Attention => open_case,
            PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Awaiting => booked == 0 && refunded == 0,
            PaymentStatus::Paid => false,
        };
        let mails = story.mails.iter().filter(|mail| mail.sent_at.is_some()).count();
        let plural = if mails == 1 { "" } else { "s" };
        let told = format!("{mails} e-mail{plural}{}", if open_case { ", on-call" } else { "" });
        Self { booked, refunded, told, right }
    }
}

#[cfg(test)]
mod tests {
    use discuno::model::run::End;
    use discuno::store::change::NewRun;
    use discuno::store::sqlite::Sqlite;

    use super::*;

    #[tokio::test]
    async fn a_run_that_is_being_moved_is_waited_for() {
        let store: Shared = Arc::new(Sqlite::in_memory("test").unwrap());
        let now = Timestamp::from_secs(1_000);
        assert!(is_at_rest(&store, now).await.unwrap());
        store.ensure(vec![NewRun::with_input("task", "one", Value::Null)], now).await.unwrap();
        assert!(!is_at_rest(&store, now).await.unwrap());
        let held = store.claim("worker", 1, now, now.plus(PATIENCE)).await.unwrap().remove(0);
        assert!(!is_at_rest(&store, now).await.unwrap());
        store.finish(held.lease, End::Succeeded("done".to_owned()), now).await.unwrap();
        assert!(is_at_rest(&store, now).await.unwrap());
    }
}
