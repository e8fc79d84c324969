//! Workflows by name.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::engine::ctx::Ctx;
use crate::model::failure::Failure;

/// How a run ended, in a word: `booked`, `compensated`, …
pub type Outcome = &'static str;

/// A durable function. It must ask for the same steps in the same order whenever their results are the same: it reads
/// the time, chance and the ledger only inside steps.
pub trait Workflow: Send + Sync + 'static {
    /// What runs of it are called, for ever.
    const NAME: &'static str;
    /// What it works on.
    type Input: DeserializeOwned + Send;

    /// The story. An error ends the run as failed and opens a case.
    fn run(&self, ctx: &Ctx, input: Self::Input) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// A workflow without its types.
pub(crate) trait Erased: Send + Sync {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: &'a str) -> BoxFuture<'a, Result<Outcome, Failure>>;
}

impl<W: Workflow> Erased for W {
    fn run<'a>(&'a self, ctx: &'a Ctx, input: &'a str) -> BoxFuture<'a, Result<Outcome, Failure>> {
        async move {
            let input = serde_json::from_str(input)
                .map_err(|error| Failure::permanent("unreadable_input", format!("the run's input: {error}")))?;
            Workflow::run(self, ctx, input).await
        }
        .boxed()
    }
}

/// Every workflow this program knows.
#[derive(Default)]
pub struct Registry(BTreeMap<&'static str, Box<dyn Erased>>);

impl Registry {
    /// Adds a workflow under its name.
    #[must_use]
    pub fn with<W: Workflow>(mut self, workflow: W) -> Self {
        self.0.insert(W::NAME, Box::new(workflow));
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&dyn Erased> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}
