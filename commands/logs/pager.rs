//! What does not fit a screen, handed to the person's pager.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Where lines go: a pager on a terminal, if there is one.
pub(super) fn open(wanted: bool) -> (Box<dyn Write + Send>, Option<Child>) {
    if let Some((input, child)) = wanted.then(start).flatten() {
        return (input, Some(child));
    }
    // Where it is a pipe, whoever reads it is waited for less often.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdout(), 1 << 20);
    (Box::new(io::stdout()), None)
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

/// Waits until the person has seen enough.
pub(super) fn close(pager: Option<Child>) {
    if let Some(mut pager) = pager {
        // It has shown what there was: how it ended is its own affair.
        let _ = pager.wait();
    }
}
