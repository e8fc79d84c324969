//! Searching blocks on every core, and handing out what was found in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use memchr::memrchr;

use crate::logs::count::{By, Counts};
use crate::logs::json::{Line, Lines};
use crate::logs::needles::Needles;
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
    /// How many are too far ahead.
    waiting: usize,
    /// Set once nothing more is wanted, or nothing more can be had.
    ended: Option<io::Result<()>>,
}

impl Turns<'_, '_> {
    /// Hands out what was found in a block once its turn has come, and whatever waits behind it. Whether to go on.
    fn give(&self, number: usize, found: Vec<u8>) -> bool {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        while number > state.next + AHEAD && state.ended.is_none() {
            state.waiting += 1;
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
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
            // It costs a call of the system, even where nobody waits.
            if state.waiting > 0 {
                self.moved.notify_all();
            }
        }
        state.busy = false;
        state.ended.is_none()
    }
}

/// One thread's search.
pub struct Search<'a> {
    query: &'a Query,
    want: &'a Want,
    needles: Option<Needles>,
    lines: Lines,
    report: Report,
}

impl<'a> Search<'a> {
    /// A search that has found nothing yet.
    pub fn new(query: &'a Query, want: &'a Want) -> Self {
        Self { query, want, needles: query.needles(), lines: query.lines(), report: Report::default() }
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
        let Self { query, want, needles, lines, report } = self;
        let mut picked = Picked { block, out: Vec::new(), from: 0, to: 0 };
        let mut look = |line: Line<'_, '_>| match query.judge(line) {
            Verdict::Match => {
                report.matched += 1;
                match want {
                    Want::Lines => picked.take(line.from, line.from + line.text.len()),
                    Want::Count => {}
                    Want::Groups(by, time) => report.counts.add(by, *time, line.found.unwrap_or_default()),
                }
            }
            Verdict::Other => {}
            Verdict::Malformed => report.malformed += 1,
        };
        let mut found = vec![None; query.keys().len()];
        if let Some(needles) = needles {
            let mut at = 0;
            for &hit in needles.find(block) {
                if hit >= at {
                    let from = memrchr(b'\n', &block[at..hit]).map_or(at, |before| at + before + 1);
                    at = lines.each(block, from, &mut found, |line| {
                        look(line);
                        false
                    });
                }
            }
        } else {
            lines.each(block, 0, &mut found, |line| {
                look(line);
                true
            });
        }
        picked.all()
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
