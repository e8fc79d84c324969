//! What a power cut might have left.

use std::collections::VecDeque;
use std::path::Path;

use fastrand::Rng;

use crate::disk::{Disk, Files, Geometry, Operation, put};

/// What becomes of what was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it is gone.
    Dropped,
    /// All of it is there.
    Kept,
    /// Some writes are there, in whatever order.
    Reordered,
    /// Some sectors are there.
    Scattered,
    /// The same, and some hold half of what they were to hold, or nonsense.
    Torn,
}

impl Loss {
    /// Every one of them.
    pub const ALL: [Self; 5] = [Self::Dropped, Self::Kept, Self::Reordered, Self::Scattered, Self::Torn];
}

/// Goes through the record of a disk, operation by operation.
pub struct Outage {
    record: Vec<Operation>,
    geometry: Geometry,
    lies: bool,
    at: usize,
    synced: Files,
    unsynced: VecDeque<Operation>,
}

impl Outage {
    /// Of this disk, before the first operation. A disk that lies says that it has synced what it has not.
    pub fn of(disk: &Disk, lies: bool) -> Self {
        let state = disk.lock();
        Self {
            record: state.record.clone(),
            geometry: state.geometry,
            lies,
            at: 0,
            synced: state.began_as.clone(),
            unsynced: VecDeque::new(),
        }
    }

    /// How many operations there are.
    pub fn operations(&self) -> usize {
        self.record.len()
    }

    /// Lets the first `operations` happen. Only ever goes forward.
    pub fn advance_to(&mut self, operations: usize) {
        while self.at < operations.min(self.record.len()) {
            let operation = self.record[self.at].clone();
            match &operation {
                Operation::Sync { file } if !self.lies => self.settle(file, None),
                Operation::Sync { .. } => {}
                // The kernel gives up what it could not write, and says so only once.
                Operation::SyncFailed { file } => self.settle(file, Some(Rng::with_seed(self.at as u64))),
                Operation::Delete { file } => {
                    // SQLite deletes with a sync of the folder.
                    self.unsynced.retain(|earlier| earlier.file() != file);
                    self.synced.remove(file);
                }
                Operation::Write { .. } | Operation::Truncate { .. } => self.unsynced.push_back(operation),
            }
            self.at += 1;
        }
    }

    /// What is on the disk if the power goes now.
    pub fn files(&self, loss: Loss, seed: u64) -> Files {
        let mut chance = Rng::with_seed(seed ^ (self.at as u64) << 20);
        let mut files = self.synced.clone();
        for operation in &self.unsynced {
            apply(&mut files, operation, loss, self.geometry, &mut chance);
        }
        files
    }

    /// What was done to this file is on the disk for good; with chance, only parts of it, and the rest never will be.
    fn settle(&mut self, file: &Path, chance: Option<Rng>) {
        let (settled, left): (Vec<_>, Vec<_>) = self.unsynced.drain(..).partition(|earlier| earlier.file() == file);
        self.unsynced = left.into();
        let loss = if chance.is_some() { Loss::Scattered } else { Loss::Kept };
        let mut chance = chance.unwrap_or_default();
        for operation in settled {
            apply(&mut self.synced, &operation, loss, self.geometry, &mut chance);
        }
    }
}

impl Operation {
    fn file(&self) -> &Path {
        match self {
            Self::Write { file, .. }
            | Self::Truncate { file, .. }
            | Self::Sync { file }
            | Self::SyncFailed { file }
            | Self::Delete { file } => file,
        }
    }
}

fn apply(files: &mut Files, operation: &Operation, loss: Loss, geometry: Geometry, chance: &mut Rng) {
    let whole = match loss {
        Loss::Dropped => return,
        Loss::Reordered if chance.bool() => return,
        Loss::Kept | Loss::Reordered => true,
        Loss::Scattered | Loss::Torn => false,
    };
    match operation {
        Operation::Truncate { file, length } => {
            if whole || chance.bool() {
                files.entry(file.clone()).or_default().resize(*length, 0);
            }
        }
        Operation::Write { file, offset, bytes } => {
            let target = files.entry(file.clone()).or_default();
            if whole {
                put(target, *offset, bytes);
                return;
            }
            let mut done = 0;
            while done < bytes.len() {
                let from = offset + done;
                let until = bytes.len().min(done + geometry.sector - from % geometry.sector);
                match chance.u8(..8) {
                    0..3 => {}
                    3..5 if loss == Loss::Torn => tear(target, from, &bytes[done..until], geometry, chance),
                    _ => put(target, from, &bytes[done..until]),
                }
                done = until;
            }
        }
        Operation::Sync { .. } | Operation::SyncFailed { .. } | Operation::Delete { .. } => {}
    }
}

/// Half a sector is written; where overwriting is not safe, the rest of it is nonsense.
fn tear(target: &mut Vec<u8>, from: usize, bytes: &[u8], geometry: Geometry, chance: &mut Rng) {
    if !geometry.powersafe_overwrite {
        let start = from - from % geometry.sector;
        let end = (start + geometry.sector).min(target.len());
        if start < end {
            chance.fill(&mut target[start..end]);
        }
    }
    let half = chance.usize(..=bytes.len());
    if chance.bool() {
        put(target, from, &bytes[..half]);
    } else {
        put(target, from + half, &bytes[half..]);
    }
}
