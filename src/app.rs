//! The composition root: a configuration becomes a store, providers, workflows, a server and a worker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, Mode};
use crate::engine::ctx::Surroundings;
use crate::engine::registry::Registry;
use crate::engine::worker::Worker;
use crate::entropy::Entropy;
use crate::observe::mask;
use crate::observe::metrics::Metrics;
use crate::observe::trace::Traces;
use crate::ops::desk::Desk;
use crate::ops::exposition::Exposition;
use crate::ops::replay::Understanding;
use crate::ops::watch::{Limits, Watch};
use crate::pauses::Pauses;
use crate::provider::alert::AlertHook;
use crate::provider::cal::Cal;
use crate::provider::gate::{self, Gate, Urgent, Valve};
use crate::provider::mail::Mailer;
use crate::provider::posthog::PostHog;
use crate::provider::resend::Resend;
use crate::provider::smtp::Smtp;
use crate::provider::stripe::Stripe;
use crate::provider::{ProviderName, Providers};
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::place::Kept;
use crate::store::sqlite;
use crate::transport::Transport;
use crate::transport::http::Http;
use crate::web::Web;
use crate::web::admin::Admin;
use crate::web::auth::Access;
use crate::workflow::{self, Means, schedule};

/// How long a worker waits at most without a look for what is due.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// How often is looked whether every schedule has a run to come.
const SCHEDULES_LOOK: Duration = Duration::from_secs(10 * 60);

/// A whole deployment, put together and not yet running.
pub struct App {
    /// The store.
    pub store: Shared,
    /// The time.
    pub clock: Clock,
    /// The configuration it was made from.
    pub config: Config,
    /// What this process counts.
    pub metrics: Metrics,
    /// Where it is traced; nowhere unless somebody says so.
    pub traces: Traces,
    entropy: Entropy,
}

/// What a deployment is made of besides its configuration.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub entropy: Entropy,
    /// How the store runs.
    pub store: sqlite::Mode,
}

impl Parts {
    /// The machine's own.
    pub fn system() -> Self {
        Self { clock: Clock::System, entropy: Entropy::from_os(), store: sqlite::Mode::Threads }
    }
}

impl App {
    /// Opens the store.
    pub fn open(config: Config, parts: Parts) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let store = Kept::open(config.place(), parts.store, config.mode.as_str(), metrics.clone());
        Self::with(store, config, parts, metrics)
    }

    /// On a store that is open already.
    pub fn on(store: Shared, config: Config, clock: Clock, entropy: Entropy) -> Self {
        Self { store, clock, config, metrics: Metrics::default(), traces: Traces::default(), entropy }
    }

    /// Opens a store that is there, for commands that only look at it.
    pub fn looking(config: Config, parts: Parts) -> anyhow::Result<Self> {
        let store = Kept::looking(config.place(), parts.store);
        Self::with(store, config, parts, Metrics::default())
    }

    /// Opens a store that is there, for commands that act.
    pub fn existing(config: Config, parts: Parts) -> anyhow::Result<Self> {
        let store = Kept::existing(config.place(), parts.store);
        Self::with(store, config, parts, Metrics::default())
    }

    /// Machines that share a server share its clock too.
    fn with(store: Result<Kept, Error>, config: Config, parts: Parts, metrics: Metrics) -> anyhow::Result<Self> {
        let store = store.with_context(|| format!("could not open the database {}", config.place()))?;
        let clock = match (parts.clock, &config.server) {
            (Clock::System, Some(server)) => Clock::Shared(Arc::clone(server.clock())),
            (clock, _) => clock,
        };
        Ok(Self { store: Arc::new(store), clock, config, metrics, traces: Traces::default(), entropy: parts.entropy })
    }

    /// Has what happens from now on traced, if a collector is named.
    pub fn begin_traces(&mut self) -> anyhow::Result<()> {
        if let Some(settings) = &self.config.traces {
            self.traces = Traces::start(settings, &self.entropy)?;
        }
        Ok(())
    }

    /// Whether real money moves.
    pub fn is_live(&self) -> bool {
        self.config.mode == Mode::Live
    }

    /// What the routes work with.
    pub fn web(&self) -> Web {
        Web {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            stripe_secrets: self.config.stripe.webhook_secrets.clone().into(),
            connect_secrets: self.config.stripe.connect_webhook_secrets.clone().into(),
            cal_secrets: self.config.cal.webhook_secrets.clone().into(),
            tolerance: self.config.signature_tolerance,
            live: self.is_live(),
            event_keys: self.config.event_keys.clone().into(),
            any_event_key: self.config.sandboxed,
            counted: self.config.counted_events.clone().into(),
            entropy: self.entropy.clone(),
            metrics: self.metrics.clone(),
            traces: self.traces.clone(),
            witness: None,
        }
    }

    /// A worker that reaches the providers over HTTP.
    pub fn worker(&self) -> anyhow::Result<Worker> {
        let http = Http::new().context("could not set up the HTTP client")?;
        self.worker_over(&(Arc::new(http) as Arc<dyn Transport>))
    }

    /// A worker that reaches the providers over `transport`.
    pub fn worker_over(&self, transport: &Arc<dyn Transport>) -> anyhow::Result<Worker> {
        let registry = Arc::new(self.registry(transport)?);
        Ok(Worker::new(self.surroundings(), registry, self.config.concurrency))
    }

    /// What scrapers read of this process.
    pub fn exposition(&self) -> Exposition {
        Exposition::new(Arc::clone(&self.store), self.clock.clone(), self.metrics.clone(), self.config.db.clone())
    }

    /// What looks whether something is wrong with the deployment itself.
    pub fn watch(&self) -> Watch {
        let alerts = self.config.alerts;
        let limits =
            Limits { silence: alerts.silence, backlog: alerts.backlog, disk: alerts.disk, repeat: alerts.repeat };
        Watch::new(Arc::clone(&self.store), self.clock.clone(), self.metrics.clone(), self.config.db.clone(), limits)
    }

    /// Where runs are executed.
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            metrics: self.metrics.clone(),
            traces: self.traces.clone(),
            retry_base: self.config.retry_base,
            lease: self.config.lease,
            longest_wait: LONGEST_WAIT,
        }
    }

    /// Makes sure that what happens again and again has a run to come.
    pub async fn begin_schedules(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        self.store.ensure(schedule::first_runs(now), now).await.context("could not start the schedules")
    }

    /// Makes sure of that until `stop`: a run that was cancelled before it began has started no other.
    pub async fn keep_schedules(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(SCHEDULES_LOOK)).await.is_some() {
            if let Err(error) = self.begin_schedules().await {
                tracing::error!(tag = "Worker", event = "schedules_not_kept", error = format!("{error:#}"));
            }
        }
    }

    /// What the dashboard works with, reaching the providers over HTTP.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        let http = Http::new().context("could not set up the HTTP client")?;
        Ok(self.admin_over(&(Arc::new(http) as Arc<dyn Transport>)))
    }

    /// The same over `transport`.
    pub fn admin_over(&self, transport: &Arc<dyn Transport>) -> Admin {
        let config = &self.config;
        let stripe = config.stripe.secret_key.as_ref().map(|key| {
            let valve: Arc<dyn Valve> = Arc::new(Pauses::new(Arc::clone(&self.store)));
            let watched = Some((&valve, &self.metrics));
            let gate = Self::gated(config, transport, watched, ProviderName::Stripe, gate::Limits::STRIPE);
            Stripe::new(gate, config.stripe.api_base.clone(), key.to_secret_string())
        });
        Admin {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            access: Access::new(config.access.clone(), config.sandboxed),
            desk: Desk::new(Arc::clone(&self.store), stripe, self.understanding(), self.clock.clone()),
            metrics: self.metrics.clone(),
            told: told(config),
            mode: config.mode.as_str(),
            db: config.db.clone(),
            log_file: config.log_file.clone(),
            sandbox: None,
            stop: CancellationToken::new(),
            exposition: Arc::new(self.exposition()),
            live: Arc::default(),
        }
    }

    /// How stored events are understood.
    pub fn understanding(&self) -> Understanding {
        Understanding { live: self.is_live(), counted: self.config.counted_events.clone() }
    }

    /// A provider's own way out, with its limits unless it is the sandbox.
    fn gated(
        config: &Config,
        transport: &Arc<dyn Transport>,
        watched: Option<(&Arc<dyn Valve>, &Metrics)>,
        provider: ProviderName,
        limits: gate::Limits,
    ) -> Arc<Gate> {
        let limits = if config.sandboxed { gate::Limits::NONE } else { limits };
        let gate = Gate::new(Arc::clone(transport), limits);
        match watched {
            Some((valve, metrics)) => {
                Arc::new(gate.with_valve(provider, Arc::clone(valve)).metered(provider, metrics.clone()))
            }
            None => Arc::new(gate),
        }
    }

    /// The workflows, on providers behind `transport`.
    pub fn registry(&self, transport: &Arc<dyn Transport>) -> anyhow::Result<Registry> {
        Ok(workflow::registry(&Arc::new(self.means(transport)?)))
    }

    /// What workflows work with, with the providers reached over HTTP.
    pub fn means_over_http(&self) -> anyhow::Result<Means> {
        let http = Http::new().context("could not set up the HTTP client")?;
        self.means(&(Arc::new(http) as Arc<dyn Transport>))
    }

    /// What workflows work with, with the providers behind `transport`.
    pub fn means(&self, transport: &Arc<dyn Transport>) -> anyhow::Result<Means> {
        let config = &self.config;
        let valve: Arc<dyn Valve> = Arc::new(Pauses::new(Arc::clone(&self.store)));
        Ok(Means {
            store: Arc::clone(&self.store),
            providers: Self::providers(config, &self.clock, transport, Some((valve, &self.metrics)))?,
            mail_from: config.mail.from.clone().unwrap_or_default(),
            alert_email: config.mail.alert_email.clone(),
            alert_group: config.alerts.group,
            listed_after: config.retry_base.saturating_mul(60),
            settle_after: config.settle_after,
            settle_for: config.settle_for,
            refund_ceiling: config.refund_ceiling,
            live: self.is_live(),
            counted_events: config.counted_events.clone(),
            policies: config.policies,
            dispute_period: config.dispute_period,
            retention: config.retention,
        })
    }

    /// The providers without a store, for who only asks them something.
    pub fn providers_over_http(config: &Config) -> anyhow::Result<Providers> {
        let http = Http::new().context("could not set up the HTTP client")?;
        Self::providers(config, &Clock::System, &(Arc::new(http) as Arc<dyn Transport>), None)
    }

    fn providers(
        config: &Config,
        clock: &Clock,
        transport: &Arc<dyn Transport>,
        watched: Option<(Arc<dyn Valve>, &Metrics)>,
    ) -> anyhow::Result<Providers> {
        let watched = watched.as_ref().map(|(valve, metrics)| (valve, *metrics));
        let gated = |provider, limits| Self::gated(config, transport, watched, provider, limits);
        let metrics = || watched.map(|(_, metrics)| metrics.clone()).unwrap_or_default();
        let stripe_key = config.stripe.secret_key.as_ref().context("STRIPE_SECRET_KEY is not set")?;
        let cal_id = config.cal.client_id.clone().context("X_CAL_ID is not set")?;
        let cal_key = config.cal.secret_key.as_ref().context("X_CAL_SECRET_KEY is not set")?;
        let (mail, alert_mail) = match (&config.mail.resend_key, &config.mail.smtp_url) {
            (Some(key), _) => {
                let gate = gated(ProviderName::Resend, gate::Limits::MAIL);
                let resend = |by: Arc<dyn Transport>| {
                    let resend = Resend::new(by, config.mail.resend_base.clone(), key.to_secret_string());
                    Some(Mailer::Resend(resend.metered(metrics())))
                };
                (resend(gate.clone()), resend(Arc::new(Urgent(gate))))
            }
            (None, Some(url)) => {
                let smtp = Smtp::new(&url.to_secret_string()).context("SMTP_URL cannot be used")?;
                let smtp = smtp.metered(metrics());
                let smtp = Some(Mailer::Smtp(match watched {
                    Some((valve, _)) => smtp.with_valve(Arc::clone(valve)),
                    None => smtp,
                }));
                (smtp.clone(), smtp)
            }
            (None, None) => (None, None),
        };
        Ok(Providers {
            stripe: Stripe::new(
                gated(ProviderName::Stripe, gate::Limits::STRIPE),
                config.stripe.api_base.clone(),
                stripe_key.to_secret_string(),
            )
            .metered(metrics()),
            cal: Cal::new(
                gated(ProviderName::Cal, gate::Limits::CAL),
                config.cal.api_url.clone(),
                cal_id,
                cal_key.to_secret_string(),
            )
            .metered(metrics()),
            posthog: config.posthog.key.as_ref().map(|key| {
                let host = config.posthog.host.clone();
                PostHog::new(
                    gated(ProviderName::Posthog, gate::Limits::POSTHOG),
                    host,
                    key.to_secret_string(),
                    clock.clone(),
                )
                .metered(metrics())
            }),
            mail,
            alert_mail,
            alert: config
                .alert_webhook_url
                .clone()
                .map(|url| AlertHook::new(gated(ProviderName::Alert, gate::Limits::NONE), url).metered(metrics())),
        })
    }
}

/// Who is told of what is wrong. Whoever knows the whole address of a webhook may post there.
fn told(config: &Config) -> Vec<String> {
    let email = config.mail.alert_email.as_deref().map(|to| format!("e-mail to {}", mask::email(to)));
    let hook = config.alert_webhook_url.as_ref().and_then(|url| Some(format!("webhook at {}", url.host_str()?)));
    email.into_iter().chain(hook).collect()
}
