//! A screen that is drawn again whenever something changes.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use discuno::store::Shared;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Usage};
use crate::output::is_terminal;

/// At most this often.
const PACE: Duration = Duration::from_millis(250);
/// At least this often, for what changes with time alone.
const LONGEST: Duration = Duration::from_secs(2);

/// Draws until the person has seen enough. Each line is overwritten in place and only its rest cleared: nothing flickers.
pub(crate) async fn watch<F>(store: &Shared, frame: impl Fn() -> F) -> anyhow::Result<Exit>
where
    F: Future<Output = anyhow::Result<String>>,
{
    if !is_terminal() {
        return Err(Usage("--watch takes a terminal".to_owned()).into());
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut changes = store.changes();
    draw("\u{1b}[2J")?;
    loop {
        changes.mark_unchanged();
        let frame = frame().await?;
        let lines: Vec<String> = frame.lines().map(|line| format!("{line}\u{1b}[K\r\n")).collect();
        draw(&format!("\u{1b}[H{}\u{1b}[J", lines.concat()))?;
        tokio::select! {
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
            _ = terminate.recv() => return Ok(Exit::Interrupted),
            () = async {
                let _ = tokio::time::timeout(LONGEST, changes.changed()).await;
                tokio::time::sleep(PACE).await;
            } => {}
        }
    }
}

fn draw(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
