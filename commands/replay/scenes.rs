//! The recorded events in the binary, and how the sandbox's page has them sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use discuno::clock::Clock;
use serde_json::{Value, json};

use crate::replay::{Delivery, Secrets, Sender, Tally, fixture};

/// Each file with what it holds: first what is bought, then what becomes of it.
pub(crate) const FILES: [(&str, &str); 5] = [
    ("stripe.json", include_str!("../../fixtures/stripe.json")),
    ("connect.json", include_str!("../../fixtures/connect.json")),
    ("app.json", include_str!("../../fixtures/app.json")),
    ("cal.json", include_str!("../../fixtures/cal.json")),
    ("life.json", include_str!("../../fixtures/life.json")),
];

/// What a file holds.
pub(crate) fn events(name: &str) -> anyhow::Result<Vec<Value>> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name).context("there is no such file")?;
    serde_json::from_str(text).context("a fixture is no list of events")
}

/// `/sandbox/replay`: the names of the files, and a way to have one sent.
pub(crate) fn routes(to: &str) -> anyhow::Result<Router> {
    let scenes = Scenes {
        sender: Sender::new(to, Secrets::sandbox(), Clock::System)?,
        played: Arc::new(FILES.map(|_| AtomicU64::new(0))),
    };
    let names = async || Json(FILES.map(|(name, _)| name));
    Ok(Router::new().route("/sandbox/replay", get(names).post(play)).with_state(scenes))
}

#[derive(Clone)]
struct Scenes {
    sender: Arc<Sender>,
    /// How often each was played.
    played: Arc<[AtomicU64; FILES.len()]>,
}

async fn play(
    State(scenes): State<Scenes>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let file = asked.get("file").map(String::as_str).unwrap_or_default();
    let bad = |error: anyhow::Error| (StatusCode::BAD_REQUEST, format!("{error:#}"));
    let mut events = events(file).map_err(bad)?;
    let place = FILES.iter().position(|(name, _)| *name == file).unwrap_or_default();
    let round = scenes.played[place].fetch_add(1, Ordering::Relaxed);
    fixture::move_to(&mut events, Clock::System.now());
    let again = fixture::another(&events, round);
    let deliveries = again.iter().map(Delivery::of).collect::<anyhow::Result<Vec<_>>>().map_err(bad)?;
    let mut sent = Tally::default();
    scenes.sender.send_all(deliveries, None, 1, &mut sent).await.map_err(bad)?;
    Ok(Json(json!({
        "sent": sent.answers.len(), "accepted": sent.accepted, "duplicate": sent.duplicate, "rejected": sent.rejected,
    })))
}
