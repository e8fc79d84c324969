//! Lines with what stands around them.

use std::collections::VecDeque;
use std::io;

use discuno::logs::json::Line;
use discuno::logs::query::{Query, Verdict};
use discuno::logs::scan::{Report, Sink};
use discuno::logs::source::{Block, Blocks};

/// Reads lines in order and remembers those before.
pub(crate) struct Context<'a> {
    query: &'a Query,
    before: usize,
    after: usize,
    /// The last lines that were not handed out.
    held: VecDeque<Vec<u8>>,
    /// How many lines after the last match are still to be handed out.
    owed: usize,
    /// Whether lines were left out since the last that was handed out.
    gap: bool,
    report: Report,
}

impl<'a> Context<'a> {
    pub(crate) fn new(query: &'a Query, (before, after): (usize, usize)) -> Self {
        Self { query, before, after, held: VecDeque::new(), owed: 0, gap: false, report: Report::default() }
    }

    pub(crate) fn read(mut self, blocks: &dyn Blocks, sink: &mut Sink<'_>) -> io::Result<Report> {
        let (mut block, mut lines) = (Block::default(), self.query.lines());
        loop {
            match blocks.next(&mut block) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.report.unread = Some(error);
                    break;
                }
            }
            let (mut out, mut found) = (Vec::new(), vec![None; self.query.keys().len()]);
            lines.each(block.lines(), 0, &mut found, |line| {
                self.look(line, &mut out);
                true
            });
            if !out.is_empty() && !sink(&out)? {
                break;
            }
        }
        Ok(self.report)
    }

    fn look(&mut self, line: Line<'_, '_>, out: &mut Vec<u8>) {
        let (verdict, line) = (self.query.judge(line), line.text);
        self.report.malformed += u64::from(verdict == Verdict::Malformed);
        let mut give = |line: &[u8]| {
            out.extend_from_slice(line);
            out.push(b'\n');
        };
        if verdict == Verdict::Match {
            if self.gap && self.report.matched > 0 {
                give(b"--");
            }
            self.report.matched += 1;
            self.held.drain(..).for_each(|line| give(&line));
            give(line);
            (self.owed, self.gap) = (self.after, false);
        } else if self.owed > 0 {
            self.owed -= 1;
            give(line);
        } else {
            self.held.push_back(line.to_vec());
            if self.held.len() > self.before {
                self.held.pop_front();
                self.gap = true;
            }
        }
    }
}
