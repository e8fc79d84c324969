//! The newest lines of a log that match: read backwards on one thread, and never for long.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::logs::query::Query;
use crate::logs::scan::{Search, Want};
use crate::logs::source::{Block, Blocks, FileBlocks, is_packed};

/// Read in one go.
const SPAN: u64 = 1 << 20;
/// What is found is cut off here.
const MOST_FOUND: usize = 4 << 20;

/// How much may be read for one answer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// So many lines.
    pub lines: usize,
    /// So many bytes.
    pub bytes: u64,
    /// So long.
    pub time: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The lines, the newest first.
    pub lines: Vec<Vec<u8>>,
    /// Bytes that were looked at.
    pub looked_at: u64,
    /// Whether there are older lines that were not looked at.
    pub more: bool,
}

/// The newest lines of `files`, of which the newest is the last. Compressed ones can only be read from their beginning,
/// and are left alone.
pub fn newest(files: &[PathBuf], query: &Query, bounds: Bounds) -> io::Result<Found> {
    let began = Instant::now();
    let (mut found, mut held, mut block) = (Found::default(), 0, Block::default());
    for path in files.iter().rev() {
        if is_packed(path) {
            found.more = true;
            break;
        }
        let file = match File::open(path) {
            Ok(file) => file,
            // It was rotated away meanwhile, or was never written.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut end = file.metadata()?.len();
        while end > 0 {
            if found.lines.len() >= bounds.lines
                || held > MOST_FOUND
                || found.looked_at >= bounds.bytes
                || began.elapsed() >= bounds.time
            {
                found.more = true;
                found.lines.truncate(bounds.lines);
                return Ok(found);
            }
            let start = end.saturating_sub(SPAN);
            let blocks = FileBlocks::of(file.try_clone()?, vec![(start, end)])?;
            let mut search = Search::new(query, &Want::Lines);
            while blocks.next(&mut block)? {
                let matched = search.search(block.lines());
                held += matched.len();
                let lines = matched.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                found.lines.extend(lines.rev().map(<[u8]>::to_vec));
            }
            found.looked_at += end - start;
            end = start;
        }
    }
    found.more |= found.lines.len() > bounds.lines;
    found.lines.truncate(bounds.lines);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::logs::asked::Asked;

    const BOUNDS: Bounds = Bounds { lines: 3, bytes: 1 << 30, time: Duration::from_secs(60) };

    fn numbers(found: &Found) -> Vec<u64> {
        let number = |line: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap();
        found.lines.iter().map(number).collect()
    }

    #[test]
    fn the_newest_come_first_through_every_file_and_reading_ends_at_its_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let files = [dir.path().join("log.1"), dir.path().join("log")];
        for (file, from) in files.iter().zip([0, 40_000]) {
            let mut file = File::create(file).unwrap();
            for n in from..from + 40_000 {
                let even = n % 2 == 0;
                writeln!(file, r#"{{"n":{n},"even":{even},"rare":{},"fill":"{:50}"}}"#, n == 7, "").unwrap();
            }
        }
        let ask = |word: &str, bounds| {
            let query = Asked { words: vec![word.to_owned()], ..Asked::default() }.query().unwrap();
            newest(&files, &query, bounds).unwrap()
        };
        let found = ask("even=true", BOUNDS);
        assert_eq!((numbers(&found), found.more), (vec![79_998, 79_996, 79_994], true));
        assert!(found.looked_at <= SPAN);
        let rare = ask("rare=true", BOUNDS);
        assert_eq!((numbers(&rare), rare.more), (vec![7], false));
        let given_up = ask("rare=true", Bounds { bytes: 2 * SPAN, ..BOUNDS });
        assert_eq!((numbers(&given_up), given_up.more, given_up.looked_at), (vec![], true, 2 * SPAN));
        let all = ask("fill", Bounds { lines: 100_000, ..BOUNDS });
        assert!(all.more && all.lines.len() < 80_000, "what is held in memory has an end");
    }
}
