//! A screen that is drawn again whenever something changes.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use dialoguer::console::{Term, truncate_str};
use discuno::store::Shared;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Usage};
use crate::output::{is_terminal, plain};

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
        let (rows, columns) = Term::stdout().size();
        draw(&picture(&frame().await?, usize::from(rows), usize::from(columns)))?;
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

/// As much of a frame as the terminal holds: one that is scrolled could not be overwritten.
fn picture(frame: &str, rows: usize, columns: usize) -> String {
    let plain = plain(frame);
    let mut lines: Vec<&str> = plain.trim_end().lines().collect();
    let room = rows.max(2) - 1;
    let more = format!("… {} more lines: a higher terminal shows them", (lines.len() + 1).saturating_sub(room));
    if lines.len() > room {
        lines.truncate(room - 1);
        lines.push(&more);
    }
    let drawn = lines.iter().map(|line| format!("{}\u{1b}[K\r\n", truncate_str(line, columns, "…")));
    format!("\u{1b}[H{}\u{1b}[J", drawn.collect::<String>())
}

fn draw(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_takes_more_than_the_terminal_has_and_steers_nothing() {
        let frame = "line \u{1b}[2J of many words\n".repeat(40);
        let picture = picture(&frame, 10, 20);
        let lines: Vec<&str> = picture.split("\r\n").collect();
        assert_eq!(lines.len(), 10, "nine lines and the end: {picture}");
        assert!(lines[8].contains("… 32 more lines"), "{picture}");
        assert!(!picture.contains("\u{1b}[2J") && picture.contains("line"), "{picture}");
        let few = super::picture("one\ntwo\n", 10, 20);
        assert!(few.contains("two") && !few.contains("more"), "{few}");
    }
}
