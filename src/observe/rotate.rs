//! A log file that is put aside when it has grown.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::owner::{self, Owner};

const LARGEST: u64 = 64 * 1024 * 1024;
const KEPT: u32 = 8;

/// Writes to `path`; `path.1` is what was there before, up to `path.8`. Several processes may write to the same: whoever finds it full
/// puts it aside, and the others go on in the new one.
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    /// Which file it is.
    id: (u64, u64),
    largest: u64,
    /// From which size on it is put aside: more than `largest` where that has failed.
    most: u64,
    aside: Told,
    written: Told,
}

/// Whether people know that something fails. They hear of it once, until it has succeeded again.
#[derive(Default)]
struct Told(bool);

impl Told {
    fn hear(&mut self, what: &str, path: &Path, outcome: &io::Result<()>) {
        match outcome {
            Ok(()) => self.0 = false,
            Err(error) if !std::mem::replace(&mut self.0, true) => {
                super::say(&format!("the log {} could not be {what}: {error}", path.display()));
            }
            Err(_) => {}
        }
    }
}

impl Rotating {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = owner::open(path, None)?;
        let id = id(&file.metadata()?);
        let (aside, written) = <(Told, Told)>::default();
        Ok(Self { path: path.to_owned(), file, id, largest: LARGEST, most: LARGEST, aside, written })
    }

    /// Begins the file that is at the path now, or a new one. Where there can be none, the one that is open goes on.
    fn reopen(&mut self, owner: Option<Owner>) -> io::Result<()> {
        let file = owner::open(&self.path, owner)?;
        (self.id, self.file, self.most) = (id(&file.metadata()?), file, self.largest);
        Ok(())
    }

    /// What is at the path, if it is our file.
    fn ours(&self) -> Option<Metadata> {
        std::fs::metadata(&self.path).ok().filter(|found| id(found) == self.id)
    }

    fn name(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Puts the file aside, unless somebody else is about to: what is written meanwhile is in the file that was put aside.
    fn rotate(&mut self) -> io::Result<()> {
        if let Err(TryLockError::WouldBlock) = self.file.try_lock() {
            return Ok(());
        }
        // The lock goes with the file, once another is open.
        let Some(old) = self.ours() else { return self.reopen(None) };
        for number in (1..KEPT).rev() {
            // A number that is not there is not moved.
            let _ = std::fs::rename(self.name(number), self.name(number + 1));
        }
        let renamed = std::fs::rename(&self.path, self.name(1)).and_then(|()| self.reopen(Some(Owner::of(&old))));
        if renamed.is_err() {
            // It grows on, and is tried again now and then.
            self.most = old.len() + self.largest / 64;
            let _ = self.file.unlock();
        }
        renamed
    }

    /// Has the file that is to be written to open. Whatever fails, one is.
    fn turn(&mut self, more: u64) {
        if self.ours().is_none() {
            // Another process has put it aside, or a person.
            let _ = self.reopen(None);
        }
        let size = self.file.metadata().map_or(0, |found| found.len());
        if size > 0 && size + more > self.most {
            let outcome = self.rotate();
            self.aside.hear("put aside, and grows on", &self.path, &outcome);
        }
    }
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl Write for Rotating {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.turn(line.len() as u64);
        let outcome = self.file.write_all(line);
        self.written.hear("written", &self.path, &outcome);
        outcome.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_and_no_line_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Rotating::open(&path).unwrap();
        (log.largest, log.most) = (10, 10);
        for line in ["first\n", "second\n", "third\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!([read("log"), read("log.1"), read("log.2")], ["third\n", "second\n", "first\n"]);
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_grows_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Rotating::open(&path).unwrap();
        (log.largest, log.most) = (64, 64);
        // No file takes the place of a folder, whoever asks.
        let folder = |number: u32| dir.path().join(format!("log.{number}"));
        for number in 1..=KEPT {
            std::fs::create_dir_all(folder(number).join("in")).unwrap();
        }
        let line = format!("{}\n", "x".repeat(39));
        for _ in 0..4 {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert!(log.aside.0, "people have heard of it");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line.repeat(4));
        for number in 1..=KEPT {
            std::fs::remove_dir_all(folder(number)).unwrap();
        }
        log.write_all(line.as_bytes()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
        assert_eq!(std::fs::read_to_string(folder(1)).unwrap(), line.repeat(4));
        assert!(!log.aside.0);
    }

    #[test]
    fn processes_that_share_a_file_go_on_in_the_new_one_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut logs = [Rotating::open(&path).unwrap(), Rotating::open(&path).unwrap()];
        let line = |number: usize| format!("line {number:04}\n");
        for number in 0..70 {
            let log = &mut logs[usize::from(number % 7 == 0)];
            (log.largest, log.most) = (100, 100);
            log.write_all(line(number).as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let names = (1..=KEPT).rev().map(|number| format!("log.{number}")).chain(["log".to_owned()]);
        assert_eq!(names.map(|name| read(&name)).collect::<String>(), (0..70).map(line).collect::<String>());
    }
}
