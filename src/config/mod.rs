//! The configuration: read once, checked whole, every problem reported at once by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::config::access::AccessConfig;
use crate::config::alerts::AlertConfig;
use crate::config::env::Reader;
use crate::model::policy::Policies;
use crate::observe::{self, trace};
use crate::store::place::Place;
use crate::store::postgres::Address;

pub mod access;
pub mod alerts;
mod env;
mod secret;
mod traces;

pub use crate::config::secret::Secret;

/// Whether real money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Stripe's test keys.
    Test,
    /// Real money.
    Live,
}

impl Mode {
    /// `test` or `live`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

/// Something that has to be mended before anything starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub name: String,
    /// What is wrong with it. Never a secret.
    pub message: String,
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {}: {}", problem.name, problem.message))
    }
}

impl std::error::Error for Problems {}

/// A setting as it is shown to people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its value; secrets are masked.
    pub value: String,
    /// Where it comes from.
    pub origin: String,
}

/// Stripe.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// `STRIPE_SECRET_KEY`
    pub secret_key: Option<Secret>,
    /// `STRIPE_WEBHOOK_SECRET`: several while one is being replaced.
    pub webhook_secrets: Vec<Secret>,
    /// `STRIPE_CONNECT_WEBHOOK_SECRET`
    pub connect_webhook_secrets: Vec<Secret>,
    /// `STRIPE_API_BASE`
    pub api_base: Url,
}

/// Cal.com.
#[derive(Debug, Clone)]
pub struct CalConfig {
    /// `CALCOM_WEBHOOK_SECRET`
    pub webhook_secrets: Vec<Secret>,
    /// `X_CAL_ID`
    pub client_id: Option<String>,
    /// `X_CAL_SECRET_KEY`
    pub secret_key: Option<Secret>,
    /// `CALCOM_API_URL`
    pub api_url: Url,
}

/// `PostHog`.
#[derive(Debug, Clone)]
pub struct PostHogConfig {
    /// `POSTHOG_KEY`; without it nothing is captured.
    pub key: Option<Secret>,
    /// `POSTHOG_HOST`
    pub host: Url,
}

/// E-mail.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// `AUTH_EMAIL_FROM`
    pub from: Option<String>,
    /// `RESEND_API_KEY`
    pub resend_key: Option<Secret>,
    /// `RESEND_BASE_URL`
    pub resend_base: Url,
    /// `SMTP_URL`, or `AUTH_EMAIL_SERVER`
    pub smtp_url: Option<Secret>,
    /// `ALERT_EMAIL`
    pub alert_email: Option<String>,
}

/// What is younger is still needed: refunds fail, and providers send again, for a month.
pub const LEAST_RETENTION: Duration = Duration::from_secs(31 * 24 * 3600);

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Stripe.
    pub stripe: StripeConfig,
    /// Cal.com.
    pub cal: CalConfig,
    /// `PostHog`.
    pub posthog: PostHogConfig,
    /// E-mail.
    pub mail: MailConfig,
    /// `INNGEST_EVENT_KEY`: what opens the event API. `INNGEST_SIGNING_KEY` has no use here and is not read.
    pub event_keys: Vec<Secret>,
    /// `DISCUNO_COUNTED_EVENTS`: names of application events that are counted besides the usual ones.
    pub counted_events: Vec<String>,
    /// `ALERT_WEBHOOK_URL`
    pub alert_webhook_url: Option<Url>,
    /// Who may look in from outside.
    pub access: AccessConfig,
    /// When people are told, and how often.
    pub alerts: AlertConfig,
    /// From the prefix of the Stripe key, or `DISCUNO_MODE`.
    pub mode: Mode,
    /// `DISCUNO_DB`, where it names a file.
    pub db: PathBuf,
    /// `DISCUNO_DB` or `DATABASE_URL`, where it names a server; then there is no file.
    pub server: Option<Address>,
    /// `DISCUNO_LISTEN`
    pub listen: SocketAddr,
    /// `DISCUNO_LOG`
    pub log_level: String,
    /// `DISCUNO_LOG_FILE`
    pub log_file: Option<PathBuf>,
    /// `DISCUNO_RETRY_BASE`
    pub retry_base: Duration,
    /// `DISCUNO_SETTLE_AFTER`
    pub settle_after: Duration,
    /// `DISCUNO_SETTLE_FOR`: for how long after a refund is looked for a late booking.
    pub settle_for: Duration,
    /// `DISCUNO_LEASE`
    pub lease: Duration,
    /// `DISCUNO_REFUND_CEILING`
    pub refund_ceiling: u32,
    /// What follows when a paid session does not take place.
    pub policies: Policies,
    /// `DISCUNO_DISPUTE_PERIOD`: how long a mentor's share waits where it is ours to move.
    pub dispute_period: Duration,
    /// `DISCUNO_RETENTION`: how long the bytes of events and the tries of runs are kept.
    pub retention: Duration,
    /// `DISCUNO_CONCURRENCY`
    pub concurrency: usize,
    /// `DISCUNO_SIGNATURE_TOLERANCE`
    pub signature_tolerance: Duration,
    /// Where traces go, if anywhere.
    pub traces: Option<trace::Settings>,
    /// Whether the providers are the sandbox, which has no limits.
    pub sandboxed: bool,
    /// Every setting as it is shown to people, in a fixed order.
    pub settings: Vec<Setting>,
}

/// The settings by which a deployment takes the sandbox at `base` for its providers.
pub fn sandbox_environment(base: &Url, db: &Path, listen: SocketAddr) -> Vec<(&'static str, String)> {
    let base = base.as_str().trim_end_matches('/');
    vec![
        ("STRIPE_SECRET_KEY", "sk_test_sandbox".to_owned()),
        ("STRIPE_WEBHOOK_SECRET", SANDBOX_STRIPE_SECRET.to_owned()),
        ("STRIPE_CONNECT_WEBHOOK_SECRET", SANDBOX_CONNECT_SECRET.to_owned()),
        ("STRIPE_API_BASE", format!("{base}/stripe")),
        ("CALCOM_WEBHOOK_SECRET", SANDBOX_CAL_SECRET.to_owned()),
        ("X_CAL_ID", "sandbox".to_owned()),
        ("X_CAL_SECRET_KEY", "sandbox".to_owned()),
        ("CALCOM_API_URL", format!("{base}/cal/v2")),
        ("POSTHOG_KEY", "phc_sandbox".to_owned()),
        ("POSTHOG_HOST", format!("{base}/posthog")),
        ("RESEND_API_KEY", "re_sandbox".to_owned()),
        ("RESEND_BASE_URL", format!("{base}/resend")),
        ("AUTH_EMAIL_FROM", "Discuno <no-reply@discuno.example>".to_owned()),
        ("ALERT_EMAIL", "oncall@discuno.example".to_owned()),
        ("ALERT_WEBHOOK_URL", format!("{base}/alerts")),
        ("DISCUNO_DB", db.display().to_string()),
        ("DISCUNO_LISTEN", listen.to_string()),
    ]
}

impl Config {
    /// From the process: flags win over the environment, which wins over a `.env` file in the working directory.
    pub fn from_environment(flags: &BTreeMap<String, String>) -> Result<Self, Problems> {
        // Not that of a directory above, which dotenvy would look for.
        let file = match dotenvy::from_path_iter(ENV_FILE) {
            Ok(lines) => lines.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?,
            Err(error) if error.not_found() => BTreeMap::new(),
            Err(error) => return Err(unreadable(&error)),
        };
        Self::load(flags, &|name| std::env::var(name).ok(), &file)
    }

    /// From given places. Every problem is reported, not just the first.
    pub fn load(
        flags: &BTreeMap<String, String>,
        environment: &dyn Fn(&str) -> Option<String>,
        file: &BTreeMap<String, String>,
    ) -> Result<Self, Problems> {
        let mut read = Reader::new(flags, environment, file);
        let secret_key = read.secret(&["STRIPE_SECRET_KEY"]);
        let mode = mode(&mut read, secret_key.as_ref());
        let base =
            |read: &mut Reader<'_>, name, default: &str| read.value(name, default, "an http(s) address", address);
        let span = |read: &mut Reader<'_>, name, default: &str| {
            read.value(name, default, "a duration such as 250ms, 1s or 5m", duration)
        };

        let webhook_secrets = read.secrets(&["STRIPE_WEBHOOK_SECRET"]);
        let connect_webhook_secrets = read.secrets(&["STRIPE_CONNECT_WEBHOOK_SECRET"]);
        let stripe_base = base(&mut read, "STRIPE_API_BASE", "https://api.stripe.com");
        let cal_secrets = read.secrets(&["CALCOM_WEBHOOK_SECRET"]);
        let cal_id = read.text(&["X_CAL_ID"]);
        let cal_key = read.secret(&["X_CAL_SECRET_KEY"]);
        let cal_url = base(&mut read, "CALCOM_API_URL", "https://api.cal.com/v2");
        let posthog_key = read.secret(&["POSTHOG_KEY"]);
        let posthog_host = base(&mut read, "POSTHOG_HOST", "https://us.i.posthog.com");
        let from = read.text(&["AUTH_EMAIL_FROM"]);
        let resend_key = read.secret(&["RESEND_API_KEY"]);
        let resend_base = base(&mut read, "RESEND_BASE_URL", "https://api.resend.com");
        let smtp_url = read.secret(&["SMTP_URL", "AUTH_EMAIL_SERVER"]);
        let alert_email = read.text(&["ALERT_EMAIL"]);
        let event_keys = read.secrets(&["INNGEST_EVENT_KEY"]);
        let counted_events = read.text(&["DISCUNO_COUNTED_EVENTS"]);
        let alert_webhook = read.secret(&["ALERT_WEBHOOK_URL"]);
        let alerts = AlertConfig::read(&mut read);
        let (db, server) = read.database();
        let password = read.secret(&["DISCUNO_DB_PASSWORD", "PGPASSWORD"]);
        let connections = read.value("DISCUNO_DB_CONNECTIONS", "4", "a whole number from 2 to 64", |text| {
            text.parse::<usize>().ok().filter(|number| (2..=64).contains(number))
        });
        let listen = read.parsed::<SocketAddr>("DISCUNO_LISTEN", "127.0.0.1:8480", "an address such as 127.0.0.1:8480");
        let access = AccessConfig::read(&mut read);
        let log_level = read.value(
            "DISCUNO_LOG",
            "info",
            "a level (error, warn, info, debug, trace, off), or directives",
            |text| observe::is_level(text).then(|| text.to_owned()),
        );
        let log_file = read.text(&["DISCUNO_LOG_FILE"]);
        let retry_base = span(&mut read, "DISCUNO_RETRY_BASE", "1s");
        let settle_after = span(&mut read, "DISCUNO_SETTLE_AFTER", "5m");
        let settle_for = span(&mut read, "DISCUNO_SETTLE_FOR", "48h");
        let lease = span(&mut read, "DISCUNO_LEASE", "60s");
        let refund_ceiling = read.parsed::<u32>("DISCUNO_REFUND_CEILING", "20", "a whole number");
        let concurrency = read.value("DISCUNO_CONCURRENCY", "64", "a whole number from 1 to 4096", |text| {
            text.parse::<usize>().ok().filter(|number| (1..=4096).contains(number))
        });
        let policy =
            |read: &mut Reader<'_>, name| read.value(name, "case", "refund, case or none", |text| text.parse().ok());
        let mentor_cancels = policy(&mut read, "DISCUNO_CANCELLATION_POLICY");
        let attendee_cancels = policy(&mut read, "DISCUNO_ATTENDEE_CANCELLATION_POLICY");
        let host_no_show = policy(&mut read, "DISCUNO_NO_SHOW_POLICY");
        let dispute_period = span(&mut read, "DISCUNO_DISPUTE_PERIOD", "72h");
        let retention = span(&mut read, "DISCUNO_RETENTION", "2160h");
        let tolerance = span(&mut read, "DISCUNO_SIGNATURE_TOLERANCE", "300s");
        let traces = traces::read(&mut read);

        let mut wrong = |name: &str, message: &str| {
            read.problems.push(Problem { name: name.to_owned(), message: message.to_owned() });
        };
        for (name, value) in [("AUTH_EMAIL_FROM", &from), ("ALERT_EMAIL", &alert_email)] {
            if value.as_ref().is_some_and(|value| value.parse::<lettre::message::Mailbox>().is_err()) {
                wrong(name, "is not an e-mail address such as `Discuno <no-reply@discuno.example>`");
            }
        }
        if resend_key.is_some() && smtp_url.is_some() && from.is_some() && smtp_is_ours(environment, file, flags) {
            wrong("SMTP_URL", "is set beside RESEND_API_KEY: keep the one that is to send");
        }
        let alert_webhook_url = alert_webhook.and_then(|url| {
            let parsed = address(url.expose());
            if parsed.is_none() {
                wrong("ALERT_WEBHOOK_URL", "is not an http(s) address");
            }
            parsed
        });
        if mode == Some(Mode::Live) && stripe_base.as_ref().is_some_and(|base| base.scheme() != "https") {
            wrong("STRIPE_API_BASE", "must be https for a live key");
        }
        if retention.is_some_and(|retention| retention < LEAST_RETENTION) {
            wrong("DISCUNO_RETENTION", "must be at least 744h: refunds fail, and providers send again, for a month");
        }
        if lease.is_some_and(|lease| lease < Duration::from_secs(1)) {
            wrong("DISCUNO_LEASE", "must be at least 1s");
        }

        let (problems, settings) = (read.problems, read.settings);
        let whole = || -> Option<Self> {
            Some(Self {
                stripe: StripeConfig { secret_key, webhook_secrets, connect_webhook_secrets, api_base: stripe_base? },
                cal: CalConfig {
                    webhook_secrets: cal_secrets,
                    client_id: cal_id,
                    secret_key: cal_key,
                    api_url: cal_url?,
                },
                posthog: PostHogConfig { key: posthog_key, host: posthog_host? },
                mail: MailConfig { from, resend_key, resend_base: resend_base?, smtp_url, alert_email },
                event_keys,
                counted_events: names(counted_events.as_deref()),
                alert_webhook_url,
                access,
                alerts: alerts?,
                mode: mode?,
                db,
                server: match (server, connections?) {
                    (Some(address), connections) => {
                        Some(address.with(password.as_ref().map(Secret::expose), connections))
                    }
                    (None, _) => None,
                },
                listen: listen?,
                log_level: log_level?,
                log_file: log_file.map(PathBuf::from),
                retry_base: retry_base?,
                settle_after: settle_after?,
                settle_for: settle_for?,
                lease: lease?,
                refund_ceiling: refund_ceiling?,
                policies: Policies {
                    mentor_cancels: mentor_cancels?,
                    attendee_cancels: attendee_cancels?,
                    host_no_show: host_no_show?,
                },
                dispute_period: dispute_period?,
                retention: retention?,
                concurrency: concurrency?,
                signature_tolerance: tolerance?,
                traces,
                sandboxed: false,
                settings,
            })
        };
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        whole().ok_or(Problems(problems))
    }

    /// A configuration whose providers are the sandbox at `base`, with throw-away secrets.
    pub fn sandbox(base: &Url, db: PathBuf, listen: SocketAddr) -> Result<Self, Problems> {
        let flags = sandbox_environment(base, &db, listen).into_iter();
        let flags = flags.map(|(name, value)| (name.to_owned(), value)).collect();
        let mut config = Self::load(&flags, &|_| None, &BTreeMap::new())?;
        config.sandboxed = true;
        Ok(config)
    }

    /// Where the data is.
    pub fn place(&self) -> Place<'_> {
        self.server.as_ref().map_or(Place::File(&self.db), Place::Server)
    }

    /// What `serve` cannot do without.
    pub fn missing_for_serve(&self) -> Vec<Problem> {
        needed(&[(
            "STRIPE_WEBHOOK_SECRET",
            !self.stripe.webhook_secrets.is_empty(),
            "nothing can be verified without it",
        )])
    }

    /// What a worker cannot do without.
    pub fn missing_for_worker(&self) -> Vec<Problem> {
        let mail = self.mail.resend_key.is_some() || self.mail.smtp_url.is_some();
        let reachable = self.mail.alert_email.is_some() || self.alert_webhook_url.is_some();
        needed(&[
            ("STRIPE_SECRET_KEY", self.stripe.secret_key.is_some(), "refunds need it"),
            ("X_CAL_ID", self.cal.client_id.is_some(), "bookings need it"),
            ("X_CAL_SECRET_KEY", self.cal.secret_key.is_some(), "bookings need it"),
            ("RESEND_API_KEY", mail, "customers are told by e-mail: set it, or SMTP_URL"),
            ("AUTH_EMAIL_FROM", self.mail.from.is_some(), "e-mails need a sender"),
            ("ALERT_EMAIL", reachable, "a person must be reachable: set it, or ALERT_WEBHOOK_URL"),
        ])
    }
}

/// Settings that stand in the working directory.
pub const ENV_FILE: &str = ".env";
/// The secret by which `replay` signs for the sandbox as Stripe.
pub const SANDBOX_STRIPE_SECRET: &str = "whsec_sandbox_throw_away";
/// The same for events of connected accounts.
pub const SANDBOX_CONNECT_SECRET: &str = "whsec_connect_sandbox_throw_away";
/// The same as Cal.com.
pub const SANDBOX_CAL_SECRET: &str = "cal_sandbox_throw_away";

fn needed(checks: &[(&str, bool, &str)]) -> Vec<Problem> {
    let missing = checks.iter().filter(|(_, there, _)| !there);
    missing.map(|(name, _, why)| Problem { name: (*name).to_owned(), message: format!("is not set: {why}") }).collect()
}

fn unreadable(error: &dotenvy::Error) -> Problems {
    // The error's own text repeats the line, which may hold a secret.
    let at = if let dotenvy::Error::LineParse(_, column) = error {
        format!(" near column {column} of a line")
    } else {
        String::new()
    };
    Problems(vec![Problem { name: ENV_FILE.to_owned(), message: format!("could not be read{at}") }])
}

/// Whether `SMTP_URL` itself is set: the original's `AUTH_EMAIL_SERVER` stood beside Resend's key unused.
fn smtp_is_ours(
    environment: &dyn Fn(&str) -> Option<String>,
    file: &BTreeMap<String, String>,
    flags: &BTreeMap<String, String>,
) -> bool {
    environment("SMTP_URL").is_some_and(|value| !value.is_empty())
        || file.contains_key("SMTP_URL")
        || flags.contains_key("SMTP_URL")
}

fn mode(read: &mut Reader<'_>, key: Option<&Secret>) -> Option<Mode> {
    let of_key = key.map(|key| match key.expose() {
        key if key.starts_with("sk_live_") || key.starts_with("rk_live_") => Some(Mode::Live),
        key if key.starts_with("sk_test_") || key.starts_with("rk_test_") => Some(Mode::Test),
        _ => None,
    });
    let default = match of_key {
        Some(Some(mode)) => mode,
        Some(None) => {
            let message = "does not begin with sk_test_, rk_test_, sk_live_ or rk_live_".to_owned();
            read.problems.push(Problem { name: "STRIPE_SECRET_KEY".to_owned(), message });
            Mode::Test
        }
        None => Mode::Test,
    };
    let chosen = read.value("DISCUNO_MODE", default.as_str(), "`test` or `live`", |text| match text {
        "test" => Some(Mode::Test),
        "live" => Some(Mode::Live),
        _ => None,
    })?;
    if of_key.flatten().is_some_and(|mode| mode != chosen) {
        let message = format!("is {} and the Stripe key is for {}", chosen.as_str(), default.as_str());
        read.problems.push(Problem { name: "DISCUNO_MODE".to_owned(), message });
    }
    Some(chosen)
}

fn address(text: &str) -> Option<Url> {
    text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A list with commas or spaces between.
fn names(text: Option<&str>) -> Vec<String> {
    let names = text.unwrap_or_default().split([',', ' ']).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// A span as people write it: `250ms`, `1s`, `5m`, `72h`, `3d`.
pub fn duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn load(environment: &[(&str, &str)], file: &[(&str, &str)]) -> Result<Config, Problems> {
        let environment = vars(environment);
        Config::load(&BTreeMap::new(), &|name| environment.get(name).cloned(), &vars(file))
    }

    #[test]
    fn the_environment_wins_over_the_file_and_an_empty_value_is_missing() {
        let config = load(
            &[("DISCUNO_RETRY_BASE", "250ms"), ("X_CAL_ID", "")],
            &[("DISCUNO_RETRY_BASE", "9s"), ("X_CAL_ID", "b")],
        );
        let config = config.unwrap();
        assert_eq!(config.retry_base, Duration::from_millis(250));
        assert_eq!(config.cal.client_id.as_deref(), Some("b"));
    }

    #[test]
    fn the_names_of_the_original_application_work() {
        let config =
            load(&[("NEXT_PUBLIC_X_CAL_ID", "a"), ("NEXT_PUBLIC_POSTHOG_HOST", "https://eu.i.posthog.com")], &[])
                .unwrap();
        assert_eq!(config.cal.client_id.as_deref(), Some("a"));
        assert_eq!(config.posthog.host.as_str(), "https://eu.i.posthog.com/");
    }

    #[test]
    fn everything_wrong_is_reported_at_once_and_no_secret_with_it() {
        let wrong = [
            ("STRIPE_SECRET_KEY", "pk_geheim"),
            ("DISCUNO_LISTEN", "nowhere"),
            ("CALCOM_API_URL", "ftp://x"),
            ("ALERT_EMAIL", "nobody"),
            ("DISCUNO_RETRY_BASE", "soon"),
            ("DISCUNO_CONCURRENCY", "0"),
            ("DISCUNO_LOG", "warning"),
        ];
        let problems = load(&wrong, &[]).unwrap_err();
        for (name, _) in wrong {
            assert!(problems.0.iter().any(|problem| problem.name == name), "{name}: {problems}");
        }
        assert!(!problems.to_string().contains("geheim"));
    }

    #[test]
    fn a_server_is_named_by_its_address_and_shown_without_its_password() {
        let config = load(&[("DISCUNO_DB", "postgres://mia:geheim@db.example/discuno")], &[]).unwrap();
        assert!(config.server.is_some());
        assert!(!format!("{config:?}").contains("geheim"));
        let url = [("DATABASE_URL", "postgres://mia@db.example/discuno"), ("PGPASSWORD", "geheim")];
        let config = load(&url, &[]).unwrap();
        assert_eq!(config.place().to_string(), "postgres://mia@db.example/discuno");
        assert!(!format!("{config:?}").contains("geheim"));
        let chosen = load(&[("DISCUNO_DB", "mine.db"), url[0]], &[]).unwrap();
        assert_eq!((chosen.server.is_some(), chosen.place().to_string().as_str()), (false, "mine.db"));
        let wrong = load(&[("DISCUNO_DB", "postgres://mia:geheim@x/y?sslmode=perhaps")], &[]).unwrap_err();
        assert!(!wrong.to_string().contains("geheim"), "{wrong}");
    }

    #[test]
    fn the_mode_follows_the_key_and_a_contradiction_is_a_problem() {
        assert_eq!(load(&[("STRIPE_SECRET_KEY", "rk_live_x")], &[]).unwrap().mode, Mode::Live);
        assert_eq!(load(&[], &[]).unwrap().mode, Mode::Test);
        assert!(load(&[("STRIPE_SECRET_KEY", "sk_live_x"), ("DISCUNO_MODE", "test")], &[]).is_err());
    }

    #[test]
    fn secrets_may_be_lists_and_are_shown_masked() {
        let config = load(&[("STRIPE_WEBHOOK_SECRET", "whsec_aaaaaaaaaaaaaaaa, whsec_bbbbbbbbbbbbbbbb")], &[]).unwrap();
        assert_eq!(config.stripe.webhook_secrets.len(), 2);
        let shown = config.settings.iter().find(|setting| setting.name == "STRIPE_WEBHOOK_SECRET").unwrap();
        assert_eq!((shown.value.as_str(), shown.origin.as_str()), ("whsec_…aaaa, whsec_…bbbb", "environment"));
    }

    #[test]
    fn a_secret_may_be_a_credential_and_the_environment_wins() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("STRIPE_SECRET_KEY", "sk_test_credential\n"), ("RESEND_API_KEY", "re_credential")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let dir = dir.path().to_str().unwrap();
        let config = load(&[("CREDENTIALS_DIRECTORY", dir), ("RESEND_API_KEY", "re_environment")], &[]).unwrap();
        assert_eq!(config.stripe.secret_key.unwrap().expose(), "sk_test_credential");
        assert_eq!(config.mail.resend_key.unwrap().expose(), "re_environment");
        assert!(config.settings.iter().any(|setting| setting.origin == "credential"));
    }
}
