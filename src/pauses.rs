//! What operators have paused, as the gates before the providers ask for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::model::pause::{Pausable, Pause, PauseKind};
use crate::provider::ProviderName;
use crate::provider::gate::Valve;
use crate::store::Shared;
use crate::store::error::Error;
use crate::workflow;

/// Providers whose calls can be held back. `resend` is whoever sends our e-mails: Resend, or a server by SMTP.
pub const PROVIDERS: [&str; 4] = ["stripe", "cal", "posthog", "resend"];

/// What can be paused, by its name as a person gives it: with or without what kind it is of.
pub fn pausable(name: &str) -> Option<Pausable> {
    let (kind, bare) = name.split_once('/').unwrap_or(("", name));
    let kind = match kind {
        "provider" | "" if PROVIDERS.contains(&bare) => PauseKind::Provider,
        "workflow" | "" if workflow::NAMES.contains(&bare) => PauseKind::Workflow,
        _ => return None,
    };
    Some(Pausable { kind, name: bare.to_owned() })
}

/// Everything that can be paused.
pub fn all_pausable() -> impl Iterator<Item = Pausable> {
    let of = |kind| move |name: &str| Pausable { kind, name: name.to_owned() };
    PROVIDERS.into_iter().map(of(PauseKind::Provider)).chain(workflow::NAMES.into_iter().map(of(PauseKind::Workflow)))
}

/// What holds back every run of these workflows: a person has to end it before any of them goes on.
pub async fn holding<'a>(store: &Shared, workflows: impl IntoIterator<Item = &'a str>) -> Result<Vec<Pause>, Error> {
    let workflows: Vec<&str> = workflows.into_iter().collect();
    let holds = |what: &Pausable| what.kind == PauseKind::Workflow && workflows.contains(&what.name.as_str());
    Ok(store.pauses().await?.into_iter().filter(|pause| holds(&pause.what)).collect())
}

/// The same of the runs of one.
pub async fn held_by(store: &Shared, workflow: &str) -> Result<Option<Pause>, Error> {
    Ok(holding(store, [workflow]).await?.pop())
}

/// How long an answer holds: a pause is felt by every process within this time.
const FRESH: Duration = Duration::from_secs(1);

/// Reads the store at most once a second, and only when a call is to be made. While it cannot be read, what was read last holds; where
/// nothing was, nobody is called.
pub(crate) struct Pauses {
    store: Shared,
    known: Mutex<Option<(Instant, Vec<String>)>>,
}

impl Pauses {
    pub(crate) fn new(store: Shared) -> Self {
        Self { store, known: Mutex::new(None) }
    }

    /// What was read last, if it is not older than that.
    fn known(&self, provider: ProviderName, most: Duration) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, paused) = known.as_ref()?;
        (read_at.elapsed() < most).then(|| paused.iter().any(|name| name == provider.as_str()))
    }
}

#[async_trait]
impl Valve for Pauses {
    async fn is_paused(&self, provider: ProviderName) -> bool {
        if let Some(known) = self.known(provider, FRESH) {
            return known;
        }
        let Ok(pauses) = self.store.pauses().await else {
            return self.known(provider, Duration::MAX).unwrap_or(true);
        };
        let names = pauses.into_iter().filter(|pause| pause.what.kind == PauseKind::Provider);
        let names: Vec<String> = names.map(|pause| pause.what.name).collect();
        let paused = names.iter().any(|name| name == provider.as_str());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), names));
        paused
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::pause::Pausable;
    use crate::model::time::Timestamp;
    use crate::store::order::{Deed, Order};
    use crate::store::sqlite::{Mode, Sqlite};

    #[tokio::test]
    async fn while_the_store_cannot_be_read_what_is_known_holds_and_what_is_not_is_not_called() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.db");
        let store: Shared = Arc::new(Sqlite::open(&path, Mode::Inline, "test").unwrap());
        let cal = Pausable { kind: PauseKind::Provider, name: "cal".to_owned() };
        let order = Order { actor: "mia".to_owned(), reason: None, deed: Deed::Pause(cal) };
        store.operate(order, Timestamp(1_793_872_800_000)).await.unwrap();
        let (knows, knows_not) = (Pauses::new(Arc::clone(&store)), Pauses::new(store));
        assert!(knows.is_paused(ProviderName::Cal).await && !knows.is_paused(ProviderName::Stripe).await);
        let broken = rusqlite::Connection::open(&path).unwrap();
        broken.execute_batch("ALTER TABLE pauses RENAME TO elsewhere").unwrap();
        tokio::time::pause();
        tokio::time::advance(2 * FRESH).await;
        assert!(knows.is_paused(ProviderName::Cal).await && !knows.is_paused(ProviderName::Stripe).await);
        assert!(knows_not.is_paused(ProviderName::Stripe).await);
    }
}
