//! The on-call channel: a webhook in the shape Slack takes.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use url::Url;

use crate::model::case::Case;
use crate::observe::metrics::Metrics;
use crate::provider::ProviderName;
use crate::provider::client::Client;
use crate::provider::error::{Call, Error};
use crate::transport::Transport;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where alerts are posted.
#[derive(Clone)]
pub struct AlertHook(Client);

impl AlertHook {
    /// Posts to `url`.
    pub fn new(transport: Arc<dyn Transport>, url: Url) -> Self {
        Self(Client::new(transport, url, TIMEOUT))
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(self, metrics: Metrics) -> Self {
        Self(self.0.metered(metrics))
    }

    /// Tells of a case.
    pub async fn post(&self, case: &Case) -> Result<(), Error> {
        let call = Call::change(ProviderName::Alert, "alerts.post");
        let at_risk = case.at_risk.map(|money| money.to_string());
        let body = json!({
            "text": format!("{} {}: {}. Next: discuno show {}", case.id, case.kind, case.summary, case.id),
            "case": case.id, "kind": case.kind, "summary": case.summary, "payment": case.payment, "amount": at_risk,
        });
        self.0.send(self.0.draft(call, Method::POST, &[]).json(&body)).await.map(drop)
    }
}
