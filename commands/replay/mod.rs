//! `discuno replay`: recorded events, sent again as their sender would.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use discuno::clock::Clock;
use discuno::config::{Config, Mode, SANDBOX_CAL_SECRET, SANDBOX_CONNECT_SECRET, SANDBOX_STRIPE_SECRET, Secret};
use discuno::entropy::Entropy;
use discuno::model::id::EventId;
use discuno::signature::{sign_cal, sign_stripe};
use discuno::transport::http::Http;
use discuno::transport::{Error, Request, Transport};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use crate::exit::{Exit, Usage};
use crate::output::Table;
use crate::replay::fixture::Origin;
use crate::runtime::Overrides;

pub(crate) mod fixture;
pub(crate) mod scenes;
mod stored;

const TIMEOUT: Duration = Duration::from_secs(15);
const HERE: &str = "http://127.0.0.1:8480";

/// Send recorded events again, freshly signed, with their dates moved to now
///
/// An event of the database (ev_12) is understood anew instead, as if its sender had sent it again: what it should have
/// started and did not is started, and nothing happens twice.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno replay fixtures/stripe.json\n  discuno replay ev_12 --reason \"the fix is out\""
)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Files with one event, a list of events, or one event a line; or events of the database
    #[arg(required = true, value_name = "FILE|EVENT")]
    files: Vec<PathBuf>,
    /// The server
    #[arg(long, value_name = "URL", default_value = HERE)]
    to: String,
    /// Send everything N times, each time as other purchases
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
    /// Events a second [default: as fast as they are answered]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Requests in flight; 1 keeps the order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Send each event N more times
    #[arg(long, value_name = "N", default_value_t = 0)]
    duplicate: usize,
    /// Send in random order
    #[arg(long)]
    shuffle: bool,
    /// Change every event first, for example data.object.amount_total=9900
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Leave the dates as they are recorded
    #[arg(long)]
    keep_times: bool,
    /// Send although the configuration is for real money
    #[arg(long)]
    live: bool,
    /// Why, for the audit trail; with events of the database
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let events: Vec<EventId> = args.files.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    if !events.is_empty() {
        args.only_of_the_database(events.len())?;
        return stored::run(&events, args.reason, &args.overrides).await;
    }
    if args.reason.is_some() {
        return Err(Usage(
            "--reason is kept with events of the database: files are sent as their sender would".to_owned(),
        )
        .into());
    }
    let config = Config::from_environment(&std::collections::BTreeMap::new())?;
    if config.mode == Mode::Live && !args.live {
        return Err(Usage("the configuration is for real money: replaying needs --live".to_owned()).into());
    }
    let clock = Clock::System;
    let mut events = Vec::new();
    for file in &args.files {
        events.extend(fixture::read(file)?);
    }
    if !args.keep_times {
        fixture::move_to(&mut events, clock.now());
    }
    for assignment in &args.set {
        let all_set = events.iter_mut().try_for_each(|event| fixture::set(event, assignment));
        all_set.map_err(|error| Usage(format!("{error:#}")))?;
    }
    let mut deliveries = Vec::new();
    for round in 0..args.times {
        for event in fixture::another(&events, round) {
            deliveries.extend(std::iter::repeat_n(Delivery::of(&event)?, args.duplicate + 1));
        }
    }
    if args.shuffle {
        let entropy = Entropy::from_os();
        for left in (1..deliveries.len()).rev() {
            let pick = entropy.below(left as u64 + 1);
            deliveries.swap(left, usize::try_from(pick).unwrap_or(left));
        }
    }

    let first = |secrets: &[Secret], sandbox: &str| secrets.first().cloned().unwrap_or_else(|| Secret::new(sandbox));
    let secrets = Secrets {
        stripe: first(&config.stripe.webhook_secrets, SANDBOX_STRIPE_SECRET),
        connect: first(&config.stripe.connect_webhook_secrets, SANDBOX_CONNECT_SECRET),
        event_key: first(&config.event_keys, "sandbox"),
        cal: first(&config.cal.webhook_secrets, SANDBOX_CAL_SECRET),
    };
    let sender = Sender::new(&args.to, secrets, clock)?;
    let mut tally = Tally::default();
    let sent = sender.send_all(deliveries, args.rate, usize::from(args.concurrency), &mut tally).await;
    if sent.is_ok() || !tally.answers.is_empty() {
        tally.print()?;
    }
    sent?;
    Ok(if tally.rejected == 0 { Exit::Done } else { Exit::Findings })
}

impl Args {
    /// Events of the database are not sent: what says how to send files is not for them.
    fn only_of_the_database(&self, events: usize) -> Result<(), Usage> {
        if events < self.files.len() {
            return Err(Usage(
                "files are sent and events of the database are not: replay them one after the other".to_owned(),
            ));
        }
        let of_files = [
            ("--to", self.to != HERE),
            ("--times", self.times > 1),
            ("--rate", self.rate.is_some()),
            ("--concurrency", self.concurrency > 1),
            ("--duplicate", self.duplicate > 0),
            ("--shuffle", self.shuffle),
            ("--set", !self.set.is_empty()),
            ("--keep-times", self.keep_times),
            ("--live", self.live),
        ];
        match of_files.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                Err(Usage(format!("{option} is for files: an event of the database is understood anew as it is")))
            }
            None => Ok(()),
        }
    }
}

/// An event as it will be sent.
#[derive(Clone)]
pub(crate) struct Delivery {
    origin: Origin,
    body: Arc<[u8]>,
}

impl Delivery {
    pub(crate) fn of(event: &Value) -> anyhow::Result<Self> {
        let origin = fixture::origin(event).context("nobody is known to send such an event")?;
        Ok(Self { origin, body: serde_json::to_vec(event)?.into() })
    }
}

/// With what each origin signs.
pub(crate) struct Secrets {
    pub(crate) stripe: Secret,
    pub(crate) connect: Secret,
    pub(crate) cal: Secret,
    pub(crate) event_key: Secret,
}

impl Secrets {
    /// Those of `dev` and `demo`.
    pub(crate) fn sandbox() -> Self {
        Self {
            stripe: Secret::new(SANDBOX_STRIPE_SECRET),
            connect: Secret::new(SANDBOX_CONNECT_SECRET),
            cal: Secret::new(SANDBOX_CAL_SECRET),
            event_key: Secret::new("sandbox"),
        }
    }
}

/// Signs and posts.
pub(crate) struct Sender {
    http: Http,
    base: Url,
    secrets: Secrets,
    clock: Clock,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Tally {
    accepted: u64,
    duplicate: u64,
    pub(crate) rejected: u64,
    reasons: Vec<String>,
    answers: Vec<Duration>,
}

enum Answer {
    Accepted,
    Duplicate,
    Rejected(String),
}

impl Sender {
    pub(crate) fn new(to: &str, secrets: Secrets, clock: Clock) -> anyhow::Result<Arc<Self>> {
        let base: Option<Url> = to.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| Usage(format!("{to} is not the address of a server: http://… or https://…")))?;
        Ok(Arc::new(Self { http: Http::new()?, base, secrets, clock }))
    }

    /// Sends them all, or until nobody answers any more. Every answer is in the tally, whichever way it ends.
    pub(crate) async fn send_all(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
        rate: Option<u32>,
        concurrency: usize,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let (bar, all) = (progress(deliveries.len()), deliveries.len());
        let places = Arc::new(Semaphore::new(concurrency));
        let (mut tasks, mut failed) = (JoinSet::new(), None);
        let mut next = Instant::now();
        for delivery in deliveries {
            if let Some(rate) = rate.filter(|rate| *rate > 0) {
                tokio::time::sleep_until(next).await;
                next += Duration::from_secs(1) / rate;
            }
            let place = Arc::clone(&places).acquire_owned().await?;
            while let Some(done) = tasks.try_join_next() {
                tally.count(done?, &mut failed);
                bar.inc(1);
            }
            if failed.is_some() {
                break;
            }
            let sender = Arc::clone(self);
            tasks.spawn(async move {
                let start = Instant::now();
                let answer = sender.send(&delivery).await;
                drop(place);
                (answer, start.elapsed())
            });
        }
        while let Some(done) = tasks.join_next().await {
            tally.count(done?, &mut failed);
            bar.inc(1);
        }
        bar.finish_and_clear();
        match (failed, tally.answers.len()) {
            (None, _) => Ok(()),
            (Some(error), 0) => Err(error),
            (Some(error), some) => Err(error.context(format!(
                "{some} of {all} were answered and the others are not sent: repeated, those count as duplicates"
            ))),
        }
    }

    async fn send(&self, delivery: &Delivery) -> anyhow::Result<Answer> {
        let body = bytes::Bytes::copy_from_slice(&delivery.body);
        let (secrets, now) = (&self.secrets, self.clock.now());
        let (path, signature) = match delivery.origin {
            Origin::Stripe => {
                ("/webhooks/stripe", Some(("stripe-signature", sign_stripe(&body, &secrets.stripe, now))))
            }
            Origin::Connect => {
                ("/webhooks/stripe-connect", Some(("stripe-signature", sign_stripe(&body, &secrets.connect, now))))
            }
            Origin::Cal => ("/webhooks/cal", Some(("x-cal-signature-256", sign_cal(&body, &secrets.cal)))),
            Origin::App => (&*format!("/e/{}", secrets.event_key.expose()), None),
        };
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        if let Some((header, signature)) = signature {
            headers.insert(header, signature.parse()?);
        }
        let request =
            Request { method: http::Method::POST, url: self.base.join(path)?, headers, body, timeout: TIMEOUT };
        let answer = match self.http.send(request).await {
            Ok(answer) => answer,
            Err(Error::Connect(_)) => {
                anyhow::bail!("nobody answers at {}: start a server with `discuno dev` or `discuno serve`", self.base)
            }
            Err(error) => return Ok(Answer::Rejected(error.to_string())),
        };
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(if !answer.status.is_success() {
            Answer::Rejected(format!(
                "{}: {}",
                answer.status,
                said["detail"].as_str().or(said["error"].as_str()).unwrap_or("no reason given")
            ))
        } else if said["duplicate"] == true {
            Answer::Duplicate
        } else {
            Answer::Accepted
        })
    }
}

impl Tally {
    fn count(&mut self, (answer, took): (anyhow::Result<Answer>, Duration), failed: &mut Option<anyhow::Error>) {
        match answer {
            Ok(Answer::Accepted) => self.accepted += 1,
            Ok(Answer::Duplicate) => self.duplicate += 1,
            Ok(Answer::Rejected(reason)) => {
                self.rejected += 1;
                if !self.reasons.contains(&reason) && self.reasons.len() < 5 {
                    self.reasons.push(reason);
                }
            }
            Err(error) => {
                failed.get_or_insert(error);
                return;
            }
        }
        self.answers.push(took);
    }

    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let mut sorted = self.answers.clone();
        sorted.sort_unstable();
        let at = |share: usize| {
            let index = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).map_or_else(|| "-".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1000.0))
        };
        let mut table = Table::new(["sent", "accepted", "duplicate", "rejected", "p50", "p99"]);
        table.row([
            self.answers.len().to_string(),
            self.accepted.to_string(),
            self.duplicate.to_string(),
            self.rejected.to_string(),
            at(50),
            at(99),
        ]);
        table.print()?;
        for reason in &self.reasons {
            crate::output::note(&format!("rejected: {reason}"));
        }
        Ok(())
    }
}

fn progress(events: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(events as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} events, {eta} left") {
        bar.set_style(style);
    }
    bar
}
