//! Searching blocks on every core, and handing out what was found in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use crate::logs::count::{By, Counts};
use crate::logs::json::{Lines, Value};
use crate::logs::marks::Marks;
use crate::logs::query::{Query, Verdict};
use crate::logs::source::{Block, Blocks};

/// Blocks that may be searched ahead of the one that is handed out.
const AHEAD: usize = 8;

/// What is wanted of the lines that match.
#[derive(Debug, Clone)]
pub enum Want {
    /// The lines.
    Lines,
    /// How many there are.
    Count,
    /// How many there are of each group; with the number of the key that holds their time.
    Groups(Vec<By>, usize),
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines that match.
    pub matched: u64,
    /// Lines that were looked at and are no JSON object.
    pub malformed: u64,
    /// Lines by group, where that was wanted.
    pub counts: Counts,
    /// Why some could not be read.
    pub unread: Option<io::Error>,
}

impl Report {
    /// Takes over what another has found.
    pub fn merge(&mut self, other: Self) {
        self.matched += other.matched;
        self.malformed += other.malformed;
        self.counts.merge(other.counts);
        self.unread = self.unread.take().or(other.unread);
    }
}

/// Takes the lines that were found in a block, in order. Whether there is any use for more.
pub type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<bool> + Send + 'a;

/// Searches all blocks that can be read. Fails where the sink does.
pub fn scan(blocks: &dyn Blocks, query: &Query, want: &Want, sink: &mut Sink<'_>) -> io::Result<Report> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let turns = Turns { state: Mutex::default(), moved: Condvar::new(), sink: Mutex::new(sink) };
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let work = || Search::new(query, want).all(blocks, &turns);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            report.merge(worker.join().unwrap_or_default());
        }
    });
    match turns.state.into_inner().unwrap_or_else(PoisonError::into_inner).ended {
        Some(Err(error)) => Err(error),
        _ => Ok(report),
    }
}

/// Whose turn it is to hand out.
struct Turns<'a, 's> {
    state: Mutex<Turn>,
    moved: Condvar,
    sink: Mutex<&'a mut Sink<'s>>,
}

#[derive(Default)]
struct Turn {
    next: usize,
    /// What was found in later blocks.
    ready: BTreeMap<usize, Vec<u8>>,
    /// Whether somebody is handing out.
    busy: bool,
    /// Set once nothing more is wanted, or nothing more can be had.
    ended: Option<io::Result<()>>,
}

impl Turns<'_, '_> {
    /// Hands out what was found in a block once its turn has come, and whatever waits behind it. Whether to go on.
    fn give(&self, number: usize, found: Vec<u8>) -> bool {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        while number > state.next + AHEAD && state.ended.is_none() {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.ready.insert(number, found);
        if state.busy {
            return state.ended.is_none();
        }
        state.busy = true;
        while state.ended.is_none() {
            let next = state.next;
            let Some(found) = state.ready.remove(&next) else { break };
            drop(state);
            let outcome = match found.as_slice() {
                [] => Ok(true),
                found => (self.sink.lock().unwrap_or_else(PoisonError::into_inner))(found),
            };
            state = lock();
            state.next += 1;
            match outcome {
                Ok(true) => {}
                Ok(false) => state.ended = Some(Ok(())),
                Err(error) => state.ended = Some(Err(error)),
            }
            self.moved.notify_all();
        }
        state.busy = false;
        state.ended.is_none()
    }
}

/// One thread's search.
pub struct Search<'a> {
    query: &'a Query,
    want: &'a Want,
    needles: Option<Vec<Finder<'static>>>,
    marks: Marks,
    report: Report,
}

impl<'a> Search<'a> {
    /// A search that has found nothing yet.
    pub fn new(query: &'a Query, want: &'a Want) -> Self {
        Self { query, want, needles: query.needles(), marks: Marks::default(), report: Report::default() }
    }

    fn all(mut self, blocks: &dyn Blocks, turns: &Turns<'_, '_>) -> Report {
        let mut block = Block::default();
        loop {
            match blocks.next(&mut block) {
                Ok(true) => {}
                Ok(false) => return self.report,
                Err(error) => {
                    self.report.unread = Some(error);
                    turns.give(block.number, Vec::new());
                    return self.report;
                }
            }
            let found = self.search(block.lines());
            if !turns.give(block.number, found) {
                return self.report;
            }
        }
    }

    /// What is so far found.
    pub fn into_report(self) -> Report {
        self.report
    }

    /// The lines of a block that match, each with its line break, if lines are wanted.
    pub fn search(&mut self, block: &[u8]) -> Vec<u8> {
        let mut found = vec![None; self.query.keys().len()];
        let mut marks = std::mem::take(&mut self.marks);
        let mut picked = Picked { block, out: Vec::new(), from: 0, to: 0 };
        if let Some(needles) = self.needles.take() {
            let mut candidates = Candidates::new(block, &needles);
            while let Some((from, to)) = candidates.next_line() {
                marks.set(block, from, to + 1);
                self.look(Lines::new(block, &marks), from, &mut found, &mut picked);
            }
            self.needles = Some(needles);
        } else {
            marks.set(block, 0, block.len());
            let (lines, mut from) = (Lines::new(block, &marks), 0);
            while from < block.len() {
                from = self.look(lines, from, &mut found, &mut picked) + 1;
            }
        }
        self.marks = marks;
        picked.all()
    }

    /// Looks at the line that begins at `from`, and says where it ends.
    #[inline]
    fn look<'b>(
        &mut self,
        lines: Lines<'b, '_>,
        from: usize,
        found: &mut [Option<Value<'b>>],
        picked: &mut Picked<'_>,
    ) -> usize {
        let (verdict, end) = self.query.judge(lines, from, found);
        match verdict {
            Verdict::Match => self.report.matched += 1,
            Verdict::Other => return end,
            Verdict::Malformed => {
                self.report.malformed += 1;
                return end;
            }
        }
        match self.want {
            Want::Lines => picked.take(from, end),
            Want::Count => {}
            Want::Groups(by, time) => self.report.counts.add(by, *time, found),
        }
        end
    }
}

/// Lines of a block, copied in runs of neighbours.
struct Picked<'b> {
    block: &'b [u8],
    out: Vec<u8>,
    /// The run that has not been copied yet.
    from: usize,
    to: usize,
}

impl Picked<'_> {
    #[inline]
    fn take(&mut self, from: usize, end: usize) {
        if from != self.to {
            self.copy();
            self.from = from;
        }
        self.to = end + 1;
    }

    fn copy(&mut self) {
        if self.out.capacity() == 0 && self.to > self.from {
            self.out.reserve_exact(self.block.len() + 1);
        }
        self.out.extend_from_slice(&self.block[self.from..self.to.min(self.block.len())]);
        if self.to > self.block.len() {
            // The last line of all may be without its line break.
            self.out.push(b'\n');
        }
    }

    fn all(mut self) -> Vec<u8> {
        self.copy();
        self.out
    }
}

/// The lines of a block that hold one of some bytes.
struct Candidates<'b, 'n> {
    block: &'b [u8],
    at: usize,
    /// Each with where it stands next.
    needles: Vec<(&'n Finder<'static>, usize)>,
}

impl<'b, 'n> Candidates<'b, 'n> {
    fn new(block: &'b [u8], needles: &'n [Finder<'static>]) -> Self {
        let mut all = Self { block, at: 0, needles: needles.iter().map(|needle| (needle, 0)).collect() };
        for (needle, place) in &mut all.needles {
            *place = needle.find(block).unwrap_or(block.len());
        }
        all
    }

    /// Where the next one begins and ends.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        let hit = self.needles.iter().map(|(_, place)| *place).min().filter(|place| *place < self.block.len())?;
        let from = memrchr(b'\n', &self.block[self.at..hit]).map_or(self.at, |before| self.at + before + 1);
        let to = memchr(b'\n', &self.block[hit..]).map_or(self.block.len(), |after| hit + after);
        self.at = (to + 1).min(self.block.len());
        for (needle, place) in &mut self.needles {
            if *place < self.at {
                *place = needle.find(&self.block[self.at..]).map_or(self.block.len(), |found| self.at + found);
            }
        }
        Some((from, to))
    }
}
