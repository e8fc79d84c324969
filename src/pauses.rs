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

/// Reads the store at most once a second, and only when a call is to be made.
pub(crate) struct Pauses {
    store: Shared,
    known: Mutex<Option<(Instant, Vec<String>)>>,
}

impl Pauses {
    pub(crate) fn new(store: Shared) -> Self {
        Self { store, known: Mutex::new(None) }
    }

    fn fresh(&self, provider: ProviderName) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, paused) = known.as_ref()?;
        (read_at.elapsed() < FRESH).then(|| paused.iter().any(|name| name == provider.as_str()))
    }
}

#[async_trait]
impl Valve for Pauses {
    async fn is_paused(&self, provider: ProviderName) -> bool {
        if let Some(known) = self.fresh(provider) {
            return known;
        }
        // A store that cannot be read stops the run by itself: what it was about to do could not be recorded.
        let Ok(pauses) = self.store.pauses().await else { return false };
        let names = pauses.into_iter().filter(|pause| pause.what.kind == PauseKind::Provider);
        let names: Vec<String> = names.map(|pause| pause.what.name).collect();
        let paused = names.iter().any(|name| name == provider.as_str());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), names));
        paused
    }
}
