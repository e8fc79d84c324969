//! Looks every minute whether something is wrong with the deployment itself, and has people told.
//!
//! Looking needs no memory: what is found goes into the store, and what is to be told of it is a durable run in the same commit.
//! Every worker looks; what several find is one alert, which is over once nobody has found it for a while.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::alert::{Condition, Finding, Pace};
use crate::model::event::{Source, Via};
use crate::model::id::{EventId, RunId};
use crate::model::refusal::{RefusedKey, RefusedSignatures};
use crate::model::time::Timestamp;
use crate::observe::metrics::Metrics;
use crate::ops::disk;
use crate::store::Shared;
use crate::store::alerts::{KeySeen, Refused};
use crate::store::error::Error;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
/// How long nothing must have been found before an alert is over.
pub const REST: Duration = Duration::from_secs(3 * 60);
/// How long a breaker must have been open: a provider that stumbles is nobody's business.
const BREAKER: Duration = Duration::from_secs(60);
/// How long a key must have been refused.
const KEY: Duration = Duration::from_secs(10 * 60);
/// More signatures than so many, within so long, are not somebody's who tries his luck. It is found for an hour, so that who
/// has them refused again and again has people told no more often.
const SIGNATURES: (u32, Duration) = (20, Duration::from_secs(15 * 60));
/// How often what was refused is kept, by whoever takes webhooks and does not work.
const KEEP: Duration = Duration::from_secs(20);

/// From where on something is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A sender that is silent for so long; zero for never.
    pub silence: Duration,
    /// A run that nobody has taken for so long.
    pub backlog: Duration,
    /// Fewer bytes left than this.
    pub disk: u64,
    /// How long an alert that goes on is not told again.
    pub repeat: Duration,
}

/// Looks.
pub struct Watch {
    store: Shared,
    clock: Clock,
    metrics: Metrics,
    db: PathBuf,
    limits: Limits,
    seen: Arrived,
    newest: EventId,
    /// Up to when it is kept how each provider takes our key.
    kept: BTreeMap<&'static str, Instant>,
}

/// The newest arrival of each sender and way, as far as this process knows.
type Arrived = BTreeMap<(Source, Via), Timestamp>;

impl Watch {
    /// Over `store`, its file `db` and the breakers that `metrics` knows of.
    pub fn new(store: Shared, clock: Clock, metrics: Metrics, db: PathBuf, limits: Limits) -> Self {
        let (seen, kept) = (Arrived::new(), BTreeMap::new());
        Self { store, clock, metrics, db, limits, seen, newest: EventId(0), kept }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if let Err(error) = self.look().await {
                tracing::error!(tag = "Watch", event = "look_failed", critical = true, error = %error);
            }
        }
        self.keep_or_say().await;
    }

    /// Does not look: keeps what is refused here until `stop`, for those who do.
    pub async fn keep(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(KEEP)).await.is_some() {
            self.keep_or_say().await;
        }
        self.keep_or_say().await;
    }

    async fn keep_or_say(&mut self) {
        if let Err(error) = self.note_refused().await {
            tracing::error!(tag = "Watch", event = "refusals_not_kept", error = %error);
        }
    }

    /// Keeps what this process has seen refused, and returns what all have.
    pub async fn note_refused(&mut self) -> Result<Refused, Error> {
        let (now, keys) = (self.clock.now(), self.metrics.keys());
        let known = self.store.refused(now).await?;
        let ago = |at: Instant| now.minus(at.elapsed());
        let seen = keys.iter().filter(|(provider, key)| self.kept.get(*provider).is_none_or(|kept| *kept < key.last));
        let seen = seen.filter_map(|(provider, key)| match key.refused_since {
            Some(since) => {
                let (provider, since) = ((*provider).to_owned(), ago(since));
                Some(KeySeen::Refused(RefusedKey { provider, since, last: ago(key.last) }))
            }
            None => known
                .keys
                .iter()
                .any(|known| known.provider == *provider)
                .then(|| KeySeen::Taken { provider: (*provider).to_owned(), at: ago(key.last) }),
        });
        let seen: Vec<KeySeen> = seen.collect();
        let signatures = self.metrics.take_refused_signatures();
        let refused = if seen.is_empty() && signatures.is_empty() {
            known
        } else {
            let each = signatures.iter().map(|(source, refused)| (*source, refused.clone())).collect();
            if let Err(error) = self.store.note_refused(seen, each, now).await {
                self.metrics.put_back_refused_signatures(&signatures);
                return Err(error);
            }
            self.store.refused(now).await?
        };
        self.kept = keys.into_iter().map(|(provider, key)| (provider, key.last)).collect();
        Ok(refused)
    }

    /// Looks once; the run that tells of it, if there is something to tell.
    pub async fn look(&mut self) -> Result<Option<RunId>, Error> {
        let found = self.findings().await?;
        for finding in &found {
            tracing::warn!(
                tag = "Watch",
                event = "alert",
                condition = finding.condition.as_str(),
                subject = finding.subject,
                summary = finding.summary,
            );
        }
        let pace = Pace { repeat: self.limits.repeat, rest: REST };
        self.store.report(found, pace, self.clock.now()).await
    }

    async fn findings(&mut self) -> Result<Vec<Finding>, Error> {
        let now = self.clock.now();
        let refused = self.note_refused().await?;
        let levels = self.store.levels(now).await?;
        let arrivals = self.store.arrivals(self.newest).await?;
        self.newest = arrivals.newest;
        for (source, via, at) in arrivals.last {
            let known = self.seen.entry((source, via)).or_insert(at);
            *known = at.max(*known);
        }
        let mut found: Vec<Finding> = Source::ALL
            .iter()
            .filter_map(|source| {
                let complete = levels.complete.iter().find(|(of, _)| of == source).map(|(_, until)| *until);
                silent(*source, &self.seen, complete, self.limits.silence, now)
            })
            .collect();
        if let Some(waited) = levels.oldest_due.map(|due| now.since(due)).filter(|waited| *waited > self.limits.backlog)
        {
            let summary = format!("the run that waits longest could have been taken {} min ago", waited.as_secs() / 60);
            found.push(Finding { condition: Condition::BacklogOld, subject: "runs".to_owned(), summary });
        }
        for (provider, open) in self.metrics.open_breakers() {
            if open >= BREAKER {
                let summary = format!("it has been failing for {} min and is left alone", open.as_secs() / 60);
                found.push(Finding { condition: Condition::BreakerOpen, subject: provider.to_owned(), summary });
            }
        }
        found.extend(refused.keys.iter().filter_map(|key| refused_key(key, now)));
        found.extend(
            refused.signatures.iter().filter_map(|(source, refused)| refused_signatures(*source, refused, now)),
        );
        if let Some(free) = disk::free_bytes(&self.db).filter(|free| *free < self.limits.disk) {
            let summary = format!("{} MiB are left where the database is", free / (1024 * 1024));
            found.push(Finding { condition: Condition::DiskLow, subject: "database".to_owned(), summary });
        }
        Ok(found)
    }
}

/// Whether a sender that has sent before should have sent again. One that can be asked is only silent if there was something
/// to send: it had to be fetched, or could not be asked for as long.
fn silent(
    source: Source,
    seen: &Arrived,
    complete: Option<Timestamp>,
    limit: Duration,
    now: Timestamp,
) -> Option<Finding> {
    let sent = *seen.get(&(source, Via::Webhook))?;
    let quiet = now.since(sent);
    if limit.is_zero() || quiet <= limit {
        return None;
    }
    let fetched = seen.get(&(source, Via::Backfill)).is_some_and(|fetched| *fetched > sent);
    let asked = complete.is_some_and(|until| now.since(until) <= limit);
    if asked && !fetched {
        return None;
    }
    let hours = quiet.as_secs() / 3600;
    let summary = if fetched {
        format!("nothing was sent for {hours} h, and there was something: it had to be fetched")
    } else {
        format!("nothing was sent for {hours} h")
    };
    Some(Finding { condition: Condition::SourceSilent, subject: source.to_string(), summary })
}

/// Whether a provider has refused our key for so long that it will not take it by itself.
fn refused_key(key: &RefusedKey, now: Timestamp) -> Option<Finding> {
    let lasted = now.since(key.since);
    let summary = format!(
        "it has refused our key for {} min, and nothing of ours gets through: mend the key, then `discuno retry --all --error credentials`",
        lasted.as_secs() / 60
    );
    let found = Finding { condition: Condition::KeyRefused, subject: key.provider.clone(), summary };
    (lasted >= KEY).then_some(found)
}

/// Whether so much of a sender was refused that its secret must be another one than ours.
fn refused_signatures(source: Source, refused: &RefusedSignatures, now: Timestamp) -> Option<Finding> {
    let (limit, span) = SIGNATURES;
    let (most, last) = (refused.most_within(span), refused.last()?);
    let what = if source == Source::App { "key" } else { "signature" };
    let summary = format!(
        "{most} requests within 15 min were refused for their {what}, the last one {} min ago: was the secret replaced? \
         the new one is set beside the old one",
        now.since(last).as_secs() / 60
    );
    let found = Finding { condition: Condition::SignaturesRefused, subject: source.to_string(), summary };
    (most > limit).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn found(webhook: Option<u64>, backfill: Option<u64>, complete: Option<u64>) -> Option<String> {
        let now = Timestamp(1_793_872_800_000);
        let ago = |hours: u64| now.minus(Duration::from_secs(hours * 3600));
        let mut seen = Arrived::new();
        seen.extend(webhook.map(|hours| ((Source::Stripe, Via::Webhook), ago(hours))));
        seen.extend(backfill.map(|hours| ((Source::Stripe, Via::Backfill), ago(hours))));
        silent(Source::Stripe, &seen, complete.map(ago), 24 * HOUR, now).map(|finding| finding.summary)
    }

    #[test]
    fn silence_is_wrong_only_where_something_should_have_been_said() {
        assert_eq!(found(None, None, None), None, "it has never sent anything");
        assert_eq!(found(Some(23), None, None), None);
        assert_eq!(found(Some(25), None, None).as_deref(), Some("nothing was sent for 25 h"));
        assert_eq!(found(Some(25), None, Some(1)), None, "it was asked, and had nothing to send");
        assert!(found(Some(25), Some(2), Some(1)).is_some_and(|said| said.contains("fetched")));
        assert!(found(Some(30), None, Some(25)).is_some(), "nobody could ask it either");
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let now = Timestamp(1_793_872_800_000);
        let seen = Arrived::from([((Source::App, Via::Webhook), Timestamp(0))]);
        assert_eq!(silent(Source::App, &seen, None, Duration::ZERO, now), None);
    }
}
