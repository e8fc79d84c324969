//! What operators have paused, as the gates before the providers ask for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::model::pause::PauseKind;
use crate::provider::ProviderName;
use crate::provider::gate::Valve;
use crate::store::Shared;

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
