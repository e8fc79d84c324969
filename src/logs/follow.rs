//! What is appended to a file, through rotation and truncation.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::logs::source::{FileBlocks, LONGEST, end_of_lines};

/// Read at a time, of what was written in the meantime.
const MOST: u64 = 64 << 20;

/// A file that grows.
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    /// The beginning of a line whose end has not been written yet.
    rest: Vec<u8>,
    /// Whether what comes belongs to a line that was cut.
    inside: bool,
}

impl Follow {
    /// From the end of the last whole line that is there, or from the beginning of a file that comes later.
    pub fn from_end(path: &Path) -> io::Result<Self> {
        let file = File::open(path).ok();
        let at = file.as_ref().map_or(Ok(0), end_of_lines)?;
        Ok(Self { path: path.to_owned(), file, at, rest: Vec::new(), inside: false })
    }

    /// The lines before that, to be read once.
    pub fn before(&self) -> io::Result<Option<FileBlocks>> {
        self.file.as_ref().map(|file| FileBlocks::up_to(file.try_clone()?, self.at)).transpose()
    }

    /// The whole lines that came since. A file that was put aside is read to its end before the new one is begun.
    pub fn poll(&mut self) -> io::Result<Vec<u8>> {
        let mut new = std::mem::take(&mut self.rest);
        self.read(&mut new)?;
        if self.was_replaced() {
            self.read(&mut new)?;
            if new.last().is_some_and(|byte| *byte != b'\n') {
                new.push(b'\n');
            }
            (self.file, self.at) = (File::open(&self.path).ok(), 0);
            self.read(&mut new)?;
        }
        if self.inside {
            let end = memchr::memchr(b'\n', &new).map(|at| at + 1);
            new.drain(..end.unwrap_or(new.len()));
            self.inside = end.is_none();
        }
        let end = memchr::memrchr(b'\n', &new).map_or(0, |at| at + 1);
        if new.len() - end >= LONGEST {
            self.inside = true;
            new.push(b'\n');
        } else {
            self.rest = new.split_off(end);
        }
        Ok(new)
    }

    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if file.metadata()?.len() < self.at {
            // It was emptied in place, with the rest of a line that had begun.
            self.at = 0;
            into.clear();
        }
        file.seek(SeekFrom::Start(self.at))?;
        self.at += file.take(MOST).read_to_end(into)? as u64;
        Ok(())
    }

    fn was_replaced(&self) -> bool {
        let Ok(now) = std::fs::metadata(&self.path) else { return false };
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        ours.is_none_or(|ours| (ours.dev(), ours.ino()) != (now.dev(), now.ino()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_line_without_end_is_cut_and_its_rest_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "");
        let mut follow = Follow::from_end(&path).unwrap();
        append(&path, &"x".repeat(LONGEST));
        assert_eq!(follow.poll().unwrap().len(), LONGEST + 1);
        append(&path, &"x".repeat(LONGEST));
        assert_eq!(follow.poll().unwrap(), b"");
        append(&path, "x\ntwo\n");
        assert_eq!(follow.poll().unwrap(), b"two\n");
    }

    #[test]
    fn every_line_is_seen_once_through_rotation_and_truncation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("log"), dir.path().join("log.1"));
        append(&path, "old\no");
        let mut follow = Follow::from_end(&path).unwrap();
        assert_eq!(follow.poll().unwrap(), b"");
        append(&path, "ne\ntw");
        assert_eq!(follow.poll().unwrap(), b"one\n");
        append(&path, "o\nthree\n");
        std::fs::rename(&path, &aside).unwrap();
        append(&aside, "four\n");
        append(&path, "five\n");
        assert_eq!(follow.poll().unwrap(), b"two\nthree\nfour\nfive\n");
        File::create(&path).unwrap();
        append(&path, "6\n");
        assert_eq!(follow.poll().unwrap(), b"6\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(follow.poll().unwrap(), b"");
        append(&path, "seven\n");
        assert_eq!(follow.poll().unwrap(), b"seven\n");
    }

    #[test]
    fn a_file_that_is_emptied_takes_the_rest_of_a_line_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "one\n");
        let mut follow = Follow::from_end(&path).unwrap();
        append(&path, "half of a line that is");
        assert_eq!(follow.poll().unwrap(), b"");
        File::create(&path).unwrap();
        append(&path, "two\n");
        assert_eq!(follow.poll().unwrap(), b"two\n");
    }
}
