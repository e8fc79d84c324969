//! What spans of time the parts of a large file hold, kept in the cache folder so that a question about an hour reads
//! no month. A file that was changed other than by appending to it is indexed anew, as far as samples of it tell: of one that was
//! edited in place and appended to, `--no-index` is sure.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{SHA256, digest};

use crate::logs::json::{Kind, Lines};
use crate::logs::source::{BLOCK, Block, Blocks, FileBlocks, end_of_lines};
use crate::logs::time::instant;
use crate::model::time::Timestamp;

/// A file below this is read whole as fast.
pub const WORTHWHILE: u64 = 32 << 20;
/// The lines of as many bytes share an entry.
const PART: u64 = 64 << 10;
/// Bytes of each place by which a file is known again, and how many such places there are besides the last.
const MARK: u64 = 4096;
const SAMPLES: u64 = 64;
const MAGIC: &[u8; 8] = b"dcnlogs3";

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
        // The last line of a part is whole: what is written of a line at a time would be read as no time at all.
        let full = end_of_lines(file)?.saturating_sub(1) / PART;
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
        let (head, entries) = bytes.split_at_checked(88)?;
        let size = u64::from_le_bytes(head[16..24].try_into().ok()?);
        let count = u64::from_le_bytes(head[8..16].try_into().ok()?);
        let (pairs, rest) = entries.as_chunks::<16>();
        if &head[..8] != MAGIC || pairs.len() as u64 != count || !rest.is_empty() || size < count * PART {
            return None;
        }
        let (content, times) = marks(file, count).ok()?;
        if head[24..56] != content || (file.metadata().ok()?.len() <= size && head[56..88] != times) {
            return None;
        }
        let number = |bytes: &[u8]| i64::from_le_bytes(std::array::from_fn(|place| bytes[place]));
        Some(Self { parts: pairs.iter().map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect() })
    }

    fn write(&self, kept: &Path, file: &File) -> io::Result<()> {
        let count = self.parts.len() as u64;
        let (content, times) = marks(file, count)?;
        let size = file.metadata()?.len();
        let mut bytes = [MAGIC.as_slice(), &count.to_le_bytes(), &size.to_le_bytes(), &content, &times].concat();
        for (first, last) in &self.parts {
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&last.to_le_bytes());
        }
        std::fs::create_dir_all(kept.parent().unwrap_or(Path::new(".")))?;
        let unfinished = kept.with_extension(format!("{}", std::process::id()));
        let written = File::create(&unfinished).and_then(|mut file| file.write_all(&bytes));
        written
            .and_then(|()| std::fs::rename(&unfinished, kept))
            .inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
    }
}

/// By what a file is known again as the one that `count` parts were read of: pages spread over them, with the last; and, where
/// nothing was appended, its size and times (that of its node too, which nobody can set back).
fn marks(file: &File, count: u64) -> io::Result<([u8; 32], [u8; 32])> {
    let meta = file.metadata()?;
    let mut text = format!("{} {} {count} ", meta.dev(), meta.ino()).into_bytes();
    let spread = (0..SAMPLES).map(|sample| count * sample / SAMPLES * PART);
    for start in spread.chain([(count * PART).saturating_sub(MARK)]) {
        let mut bytes = vec![0; usize::try_from(MARK.min(count * PART)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        text.extend_from_slice(&bytes);
    }
    let (changed, node) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    let hash = |text: &[u8]| {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text).as_ref());
        hash
    };
    Ok((hash(&text), hash(format!("{} {changed:?} {node:?}", meta.len()).as_bytes())))
}

/// The first and the last instant of the lines of a span of bytes.
fn times(file: &File, start: u64, end: u64) -> io::Result<(i64, i64)> {
    let blocks = FileBlocks::of(file.try_clone()?, vec![(start, end)])?;
    let (mut block, mut span) = (Block::default(), EMPTY);
    if blocks.next(&mut block)? {
        Lines::new(&[b"ts".to_vec()]).each(block.lines(), 0, &mut [None], |line| {
            let time = line.found.ok().and_then(|found| found[0]).filter(|value| value.kind != Kind::Other);
            if let Some(at) = time.and_then(|value| instant(&value.text())) {
                span = (span.0.min(at.0), span.1.max(at.0));
            }
            true
        });
    }
    Ok(span)
}

/// Where indexes are kept: in `XDG_CACHE_HOME` or `~/.cache`.
pub fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("discuno").join("logs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_grows_with_its_file_and_is_dropped_with_what_it_was_of() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("log"), dir.path().join("kept"));
        let line =
            |hour: u32| format!("{{\"ts\":\"2026-11-24T{hour:02}:00:00.000Z\",\"x\":\"{}\"}}\n", "x".repeat(4000));
        std::fs::write(&path, line(1).repeat(100)).unwrap();
        let mut file = File::options().read(true).append(true).open(&path).unwrap();
        let index = Index { parts: Index::build(&file, 0, 6).unwrap() };
        index.write(&kept, &file).unwrap();
        assert_eq!(Index::read(&kept, &file).as_ref(), Some(&index));
        file.write_all(line(2).repeat(20).as_bytes()).unwrap();
        assert_eq!(Index::read(&kept, &file).as_ref(), Some(&index), "appended to");
        std::fs::write(&path, line(3).repeat(120)).unwrap();
        assert_eq!(Index::read(&kept, &file), None, "written anew");
        let taken = dir.path().join("taken");
        std::fs::create_dir_all(taken.join("by a folder")).unwrap();
        assert!(index.write(&taken, &file).is_err());
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 3, "what could not be finished is gone");
    }

    #[test]
    fn a_line_that_is_being_written_is_not_lost_to_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let line =
            |hour: u32| format!("{{\"ts\":\"2026-11-24T{hour:02}:00:00.000Z\",\"x\":\"{}\"}}\n", "x".repeat(4000));
        // It begins in the second part, and the file ends in the third.
        let (whole, late) = (line(1).repeat(32), line(2));
        std::fs::write(&path, [whole.as_str(), &late[..3000]].concat()).unwrap();
        let mut file = File::options().read(true).append(true).open(&path).unwrap();
        Index::of(&file, dir.path()).unwrap();
        file.write_all(&late.as_bytes()[3000..]).unwrap();
        let size = file.metadata().unwrap().len();
        let spans =
            Index::of(&file, dir.path()).unwrap().spans(Some("2026-11-24T02:00:00Z".parse().unwrap()), None, size);
        let (blocks, mut block, mut found) = (FileBlocks::of(file, spans).unwrap(), Block::default(), Vec::new());
        while blocks.next(&mut block).unwrap() {
            found.extend_from_slice(block.lines());
        }
        assert!(found.ends_with(late.as_bytes()));
    }
}
