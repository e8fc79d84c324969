//! What does not fit a screen, handed to the person's pager.

use std::io::{self, BufWriter, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// What is found within this is written in one go.
const TOGETHER: Duration = Duration::from_millis(100);
/// So much at once at the most: whoever reads it is then woken less often.
const MOST: usize = 512 << 10;

/// Where lines go: a pager on a terminal, if there is one.
pub(super) struct Out {
    to: BufWriter<Box<dyn Write + Send>>,
    pager: Option<Child>,
    written: Instant,
    at_once: bool,
}

impl Out {
    /// `at_once` where the next lines may be long in coming.
    pub(super) fn open(paged: bool, at_once: bool) -> Self {
        let (to, pager): (Box<dyn Write + Send>, _) = match paged.then(start).flatten() {
            Some((input, child)) => (input, Some(child)),
            None => (Box::new(io::stdout()), None),
        };
        if pager.is_none() {
            // Where it is a pipe, whoever reads it is waited for less often.
            #[cfg(target_os = "linux")]
            let _ = rustix::pipe::fcntl_setpipe_size(io::stdout(), 1 << 20);
        }
        Self { to: BufWriter::with_capacity(MOST, to), pager, written: Instant::now(), at_once }
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.to.write_all(lines)?;
        if self.at_once || self.written.elapsed() > TOGETHER { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.written = Instant::now();
        self.to.flush()
    }

    /// Waits until the person has seen enough.
    pub(super) fn close(self) {
        drop(self.to);
        if let Some(mut pager) = self.pager {
            // It has shown what there was: how it ended is its own affair.
            let _ = pager.wait();
        }
    }
}

fn start() -> Option<(Box<dyn Write + Send>, Child)> {
    let given = ["DISCUNO_PAGER", "PAGER"].into_iter().find_map(|name| std::env::var(name).ok());
    let line = given.unwrap_or_else(|| "less".to_owned());
    let mut words = line.split_whitespace();
    let program = words.next().filter(|program| *program != "cat")?;
    // Colours, no clearing, and no waiting where it fits the screen.
    let mut command = Command::new(program);
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let mut child = command.args(words).stdin(Stdio::piped()).spawn().ok()?;
    let input = child.stdin.take()?;
    Some((Box::new(input), child))
}
