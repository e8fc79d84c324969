//! Who may read and write a file, and the memory that connections to it share.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The locks of a database file, each held by a connection.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    readers: Vec<usize>,
    reserved: Option<usize>,
    exclusive: Option<usize>,
}

/// How much a connection holds; SQLite's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    None = 0,
    Shared = 1,
    Reserved = 2,
    Exclusive = 4,
}

impl Locks {
    pub(crate) fn raise(&mut self, who: usize, to: Level) -> bool {
        let others = |holder: Option<usize>| holder.is_some_and(|holder| holder != who);
        let free = match to {
            Level::None => true,
            Level::Shared => !others(self.exclusive),
            Level::Reserved => !others(self.reserved) && !others(self.exclusive),
            Level::Exclusive => {
                !others(self.reserved) && !others(self.exclusive) && self.readers.iter().all(|reader| *reader == who)
            }
        };
        if free {
            if to >= Level::Shared && !self.readers.contains(&who) {
                self.readers.push(who);
            }
            if to >= Level::Reserved {
                self.reserved = Some(who);
            }
            if to >= Level::Exclusive {
                self.exclusive = Some(who);
            }
        }
        free
    }

    pub(crate) fn lower(&mut self, who: usize, to: Level) {
        if to < Level::Exclusive {
            self.exclusive.take_if(|holder| *holder == who);
        }
        if to < Level::Reserved {
            self.reserved.take_if(|holder| *holder == who);
        }
        if to < Level::Shared {
            self.readers.retain(|reader| *reader != who);
        }
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved.is_some()
    }
}

/// How many locks the shared memory of a log has.
const SLOTS: usize = 8;

/// The shared memory of a log.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Never moved or freed while the disk is there: connections point into them.
    regions: Vec<Box<[AtomicU64]>>,
    members: Vec<usize>,
    readers: [Vec<usize>; SLOTS],
    writers: [Option<usize>; SLOTS],
}

impl Shared {
    /// The memory of a region; none if it is not there and is not to be made.
    pub(crate) fn region(&mut self, who: usize, number: usize, bytes: usize, make: bool) -> Option<*mut u8> {
        if !self.members.contains(&who) {
            self.members.push(who);
        }
        while make && self.regions.len() <= number {
            self.regions.push((0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect());
        }
        self.regions.get(number).map(|region| region.as_ptr().cast_mut().cast())
    }

    /// Takes these slots for `who`, all or none.
    pub(crate) fn lock(&mut self, who: usize, slots: Range<usize>, exclusive: bool) -> bool {
        let free = slots.clone().all(|slot| {
            let alone = self.readers[slot].iter().all(|reader| *reader == who);
            self.writers[slot].is_none_or(|writer| writer == who) && (!exclusive || alone)
        });
        if free {
            for slot in slots {
                if exclusive {
                    self.writers[slot] = Some(who);
                } else if !self.readers[slot].contains(&who) {
                    self.readers[slot].push(who);
                }
            }
        }
        free
    }

    pub(crate) fn unlock(&mut self, who: usize, slots: Range<usize>) {
        for slot in slots {
            self.writers[slot].take_if(|writer| *writer == who);
            self.readers[slot].retain(|reader| *reader != who);
        }
    }

    /// The last one to leave takes along what was in it.
    pub(crate) fn leave(&mut self, who: usize) {
        self.unlock(who, 0..SLOTS);
        self.members.retain(|member| *member != who);
        if self.members.is_empty() {
            self.regions.iter().flatten().for_each(|word| word.store(0, Ordering::SeqCst));
        }
    }
}
