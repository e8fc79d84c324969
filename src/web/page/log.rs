//! What the log tells, within bounds: one search at a time, on one thread, for a short time.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::logs::asked::Asked;
use crate::logs::newest::{Bounds, newest};
use crate::logs::source::with_rotated;
use crate::web::page::{Failure, text};

/// A search waits for the one before it: however many ask, the intake has the other cores.
static ONE: Semaphore = Semaphore::const_new(1);

/// What a page of its own may read.
pub(super) const PAGE: Bounds = Bounds { lines: 200, bytes: 256 << 20, time: Duration::from_millis(1500) };
/// What a part of another page may read.
pub(super) const PART: Bounds = Bounds { lines: 50, bytes: 32 << 20, time: Duration::from_millis(100) };

/// One line.
pub(in crate::web) struct Line {
    pub(super) at: String,
    pub(super) level: String,
    pub(super) event: String,
    pub(super) rest: String,
}

/// What was found.
pub(in crate::web) struct Lines {
    pub(super) newest: Vec<Line>,
    /// Whether older lines were left out.
    pub(super) more: bool,
    pub(super) looked_at: u64,
}

impl Line {
    fn read(line: &[u8]) -> Self {
        let Ok(mut keys) = serde_json::from_slice::<Map<String, Value>>(line) else {
            let rest = text(&String::from_utf8_lossy(line));
            return Self { at: String::new(), level: String::new(), event: String::new(), rest };
        };
        let mut word = |key: &str| match keys.remove(key) {
            Some(Value::String(word)) => word,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let (at, level, event) = (word("ts"), word("level"), word("event"));
        let rest: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Self { at, level, event: text(&event), rest: text(&rest.join(" ")) }
    }
}

/// The newest lines of this file, and those before it was rotated.
pub(super) async fn search(file: PathBuf, asked: &Asked, bounds: Bounds) -> Result<Lines, Failure> {
    let query = asked.query().map_err(Failure::bad)?;
    let _one = ONE.acquire().await.map_err(Failure::broken)?;
    let found = tokio::task::spawn_blocking(move || newest(&with_rotated(&file), &query, bounds)).await;
    let found = found.map_err(Failure::broken)?.map_err(Failure::broken)?;
    Ok(Lines {
        newest: found.lines.iter().map(|line| Line::read(line)).collect(),
        more: found.more,
        looked_at: found.looked_at,
    })
}
