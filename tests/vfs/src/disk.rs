//! What is on the disk as its users see it, and the record of how it came to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::locks::{Locks, Shared};

/// Names and bytes.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// How the disk writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// What it writes at once, in bytes.
    pub sector: usize,
    /// Whether a write that is cut short leaves the bytes around it alone.
    pub powersafe_overwrite: bool,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An I/O error; of a sync, after which what was to be synced may be lost.
    Io,
    /// No space is left: nothing is written.
    Full,
    /// No space is left: half of it is written.
    Short,
}

/// A failure that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// Which operation is the first to fail, counted from 0.
    pub at: usize,
    /// How.
    pub kind: Kind,
    /// Whether those after it fail too.
    pub lasting: bool,
}

/// Something that was done to the disk.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Write { file: PathBuf, offset: usize, bytes: Vec<u8> },
    Truncate { file: PathBuf, length: usize },
    Sync { file: PathBuf },
    SyncFailed { file: PathBuf },
    Delete { file: PathBuf },
}

/// A disk. Clones are the same one.
#[derive(Clone)]
pub struct Disk(pub(crate) Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) geometry: Geometry,
    pub(crate) files: Files,
    pub(crate) began_as: Files,
    pub(crate) record: Vec<Operation>,
    pub(crate) locks: BTreeMap<PathBuf, Locks>,
    pub(crate) shared: BTreeMap<PathBuf, Shared>,
    attempts: usize,
    failures: usize,
    fails: Option<Break>,
}

impl Disk {
    /// A disk with these files, all of them synced.
    pub fn new(geometry: Geometry, files: Files) -> Self {
        Self(Arc::new(Mutex::new(State {
            geometry,
            began_as: files.clone(),
            files,
            record: Vec::new(),
            locks: BTreeMap::new(),
            shared: BTreeMap::new(),
            attempts: 0,
            failures: 0,
            fails: None,
        })))
    }

    /// Operations that change something fail from now on as this says.
    pub fn fail(&self, fails: Option<Break>) {
        self.lock().fails = fails;
    }

    /// How many operations have been recorded.
    pub fn recorded(&self) -> usize {
        self.lock().record.len()
    }

    /// How many operations have been tried, those that failed too.
    pub fn attempts(&self) -> usize {
        self.lock().attempts
    }

    /// How many operations have failed.
    pub fn failures(&self) -> usize {
        self.lock().failures
    }

    /// The files as those who use them see them.
    pub fn files(&self) -> Files {
        self.lock().files.clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an operation was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Io,
    Full,
}

impl State {
    fn attempt(&mut self) -> Option<Kind> {
        let number = self.attempts;
        self.attempts += 1;
        let due = self.fails.filter(|fails| number == fails.at || (fails.lasting && number > fails.at))?;
        Some(due.kind)
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        self.failures += 1;
        Err(refusal)
    }

    pub(crate) fn write(&mut self, file: &Path, offset: usize, bytes: &[u8]) -> Result<(), Refusal> {
        match self.attempt() {
            None => {
                self.put(file, offset, bytes);
                Ok(())
            }
            Some(Kind::Io) => self.refuse(Refusal::Io),
            Some(Kind::Full) => self.refuse(Refusal::Full),
            Some(Kind::Short) => {
                self.put(file, offset, &bytes[..bytes.len() / 2]);
                self.refuse(Refusal::Full)
            }
        }
    }

    fn put(&mut self, file: &Path, offset: usize, bytes: &[u8]) {
        put(self.files.entry(file.to_owned()).or_default(), offset, bytes);
        self.record.push(Operation::Write { file: file.to_owned(), offset, bytes: bytes.to_owned() });
    }

    pub(crate) fn truncate(&mut self, file: &Path, length: usize) -> Result<(), Refusal> {
        if self.attempt() == Some(Kind::Io) {
            return self.refuse(Refusal::Io);
        }
        self.files.entry(file.to_owned()).or_default().resize(length, 0);
        self.record.push(Operation::Truncate { file: file.to_owned(), length });
        Ok(())
    }

    pub(crate) fn sync(&mut self, file: &Path) -> Result<(), Refusal> {
        if self.attempt() == Some(Kind::Io) {
            self.record.push(Operation::SyncFailed { file: file.to_owned() });
            return self.refuse(Refusal::Io);
        }
        self.record.push(Operation::Sync { file: file.to_owned() });
        Ok(())
    }

    pub(crate) fn delete(&mut self, file: &Path) -> Result<(), Refusal> {
        if self.attempt() == Some(Kind::Io) {
            return self.refuse(Refusal::Io);
        }
        self.files.remove(file);
        self.record.push(Operation::Delete { file: file.to_owned() });
        Ok(())
    }
}

/// Writes at an offset; what lies between the end and it becomes zeros.
pub(crate) fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
