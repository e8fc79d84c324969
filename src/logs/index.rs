//! What spans of time the parts of a large file hold, kept in the cache folder so that a question about an hour reads
//! no month. A file that was changed other than by appending to it is indexed anew.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{SHA256, digest};

use crate::logs::json::{Kind, Lines};
use crate::logs::marks::Marks;
use crate::logs::source::{BLOCK, Block, Blocks, FileBlocks};
use crate::logs::time::instant;
use crate::model::time::Timestamp;

/// A file below this is read whole as fast.
pub const WORTHWHILE: u64 = 32 << 20;
/// The lines that start in as many bytes share an entry.
const PART: u64 = 64 << 10;
/// Bytes at the head of the file, and before the end of what is indexed, by which it is known again.
const MARK: u64 = 4096;
const MAGIC: &[u8; 8] = b"dcnlogs1";

/// The span of time of each part: the first and the last instant of its lines. A part without times is empty: no line of
/// it can be within any span.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    parts: Vec<(i64, i64)>,
}

const EMPTY: (i64, i64) = (i64::MAX, i64::MIN);

impl Index {
    /// The index of a file: the one that was kept, grown to the file's size, or a new one. `folder` is where they are kept.
    pub fn of(file: &File, folder: &Path) -> io::Result<Self> {
        let meta = file.metadata()?;
        let kept = folder.join(format!("{}-{}.idx", meta.dev(), meta.ino()));
        let mut index = Self::read(&kept, file).unwrap_or(Self { parts: Vec::new() });
        let full = meta.len() / PART;
        let known = index.parts.len() as u64;
        if known < full {
            index.parts.extend(Self::build(file, known, full)?);
            // A cache that cannot be written is no reason to fail.
            let _ = index.write(&kept, file);
        }
        Ok(index)
    }

    fn build(file: &File, from: u64, to: u64) -> io::Result<Vec<(i64, i64)>> {
        let count = usize::try_from(to - from).unwrap_or(usize::MAX);
        let (parts, next) = (Mutex::new(vec![EMPTY; count]), AtomicUsize::new(0));
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let work = || -> io::Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let start = (from + number as u64) * PART;
                let span = times(file, start, start + PART)?;
                parts.lock().unwrap_or_else(PoisonError::into_inner)[number] = span;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
        })?;
        Ok(parts.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The spans of bytes whose lines may be within a span of time. What is not indexed may be.
    pub fn spans(&self, since: Option<Timestamp>, until: Option<Timestamp>, size: u64) -> Vec<(u64, u64)> {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let mut add = |start: u64, end: u64| match spans.last_mut() {
            Some(last) if last.1 == start && end - last.0 <= BLOCK => last.1 = end,
            _ => spans.push((start, end)),
        };
        for (number, &(first, last)) in self.parts.iter().enumerate() {
            let fits = since.is_none_or(|since| last >= since.0) && until.is_none_or(|until| first < until.0);
            if fits && first <= last {
                let start = number as u64 * PART;
                add(start, (start + PART).min(size));
            }
        }
        let mut start = self.parts.len() as u64 * PART;
        while start < size {
            let end = (start + BLOCK).min(size);
            add(start, end);
            start = end;
        }
        spans
    }

    fn read(kept: &Path, file: &File) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(kept).ok()?.read_to_end(&mut bytes).ok()?;
        let (head, entries) = bytes.split_at_checked(48)?;
        let count = u64::from_le_bytes(head[8..16].try_into().ok()?);
        let (pairs, rest) = entries.as_chunks::<16>();
        if &head[..8] != MAGIC
            || pairs.len() as u64 != count
            || !rest.is_empty()
            || file.metadata().ok()?.len() < count * PART
        {
            return None;
        }
        if head[16..48] != mark(file, count).ok()? {
            return None;
        }
        let number = |bytes: &[u8]| i64::from_le_bytes(std::array::from_fn(|place| bytes[place]));
        Some(Self { parts: pairs.iter().map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect() })
    }

    fn write(&self, kept: &Path, file: &File) -> io::Result<()> {
        let count = self.parts.len() as u64;
        let mut bytes = [MAGIC.as_slice(), &count.to_le_bytes(), &mark(file, count)?].concat();
        for (first, last) in &self.parts {
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&last.to_le_bytes());
        }
        std::fs::create_dir_all(kept.parent().unwrap_or(Path::new(".")))?;
        let unfinished = kept.with_extension(format!("{}", std::process::id()));
        File::create(&unfinished)?.write_all(&bytes)?;
        std::fs::rename(unfinished, kept)
    }
}

/// By what a file is known again as the one that `count` parts were read of: its times where nothing was appended, its
/// head, and the last bytes that were read.
fn mark(file: &File, count: u64) -> io::Result<[u8; 32]> {
    let meta = file.metadata()?;
    let indexed = count * PART;
    let mut text = format!("{} {} {count} ", meta.dev(), meta.ino()).into_bytes();
    if meta.len() / PART == count {
        text.extend_from_slice(format!("{} {} {}", meta.len(), meta.mtime(), meta.mtime_nsec()).as_bytes());
    }
    for start in [0, indexed.saturating_sub(MARK)] {
        let mut bytes = vec![0; usize::try_from(MARK.min(indexed)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        text.extend_from_slice(&bytes);
    }
    let mut mark = [0; 32];
    mark.copy_from_slice(digest(&SHA256, &text).as_ref());
    Ok(mark)
}

/// The first and the last instant of the lines that start in a span of bytes.
fn times(file: &File, start: u64, end: u64) -> io::Result<(i64, i64)> {
    let blocks = FileBlocks::of(file.try_clone()?, vec![(start, end)])?;
    let (mut block, mut marks, mut span) = (Block::default(), Marks::default(), EMPTY);
    let (keys, mut found) = ([b"ts".to_vec()], [None]);
    if blocks.next(&mut block)? {
        marks.set(block.lines(), 0, block.lines().len());
        let (lines, mut from) = (Lines::new(block.lines(), &marks), 0);
        while from < lines.text().len() {
            let end = lines.read(from, &keys, &mut found);
            let at = found[0].filter(|value| value.kind != Kind::Other).and_then(|value| instant(&value.text()));
            if let (Ok(_), Some(at)) = (end, at) {
                span = (span.0.min(at.0), span.1.max(at.0));
            }
            from = end.unwrap_or_else(|_| lines.end(from)) + 1;
        }
    }
    Ok(span)
}

/// Where indexes are kept: in `XDG_CACHE_HOME` or `~/.cache`.
pub fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("discuno").join("logs"))
}
