//! Where lines come from: files, compressed files, rotated files, standard input.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Searched in one go: small enough to stay in a core's own cache between the kernel's copy and the search.
pub const BLOCK: u64 = 128 << 10;
/// The unit of the kernel's cache.
const PAGE: u64 = 4096;
/// Read with it, for the rest of its last line.
const MARGIN: usize = 2 << 10;
/// Read at a time for the rest of a longer line.
const REST: usize = 64 << 10;
/// A line is cut there: what goes on without an end is no log, and is not to fill the memory.
pub const LONGEST: usize = 8 << 20;

/// Whole lines.
#[derive(Debug, Default)]
pub struct Block {
    /// The place of the block among all.
    pub number: usize,
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Block {
    /// The lines. The last may be without its line break.
    pub fn lines(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }
}

/// Blocks in order, handed out to whoever comes first.
pub trait Blocks: Sync {
    /// Reads the next block over what `block` held. Whether there was one. A block that cannot be read has its number too.
    fn next(&self, block: &mut Block) -> io::Result<bool>;
}

/// A plain file: any number of readers at once.
pub struct FileBlocks {
    file: File,
    size: u64,
    /// The lines that start in these spans.
    spans: Vec<(u64, u64)>,
    next: AtomicUsize,
}

impl FileBlocks {
    /// The whole file, as it is now.
    pub fn whole(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Self::up_to(file, size)
    }

    /// The lines that start before `size`.
    pub fn up_to(file: File, size: u64) -> io::Result<Self> {
        let spans = (0..size.div_ceil(BLOCK)).map(|number| (number * BLOCK, ((number + 1) * BLOCK).min(size)));
        Ok(Self { spans: spans.collect(), file, size, next: AtomicUsize::new(0) })
    }

    /// The lines that start in these spans.
    pub fn of(file: File, spans: Vec<(u64, u64)>) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size, spans, next: AtomicUsize::new(0) })
    }

    fn read(&self, (start, end): (u64, u64), block: &mut Block) -> io::Result<()> {
        // With the byte before, which tells whether a line starts at the first: a whole page, since the kernel copies
        // from the middle of one at a third of the speed.
        let begin = start.saturating_sub(PAGE);
        let wanted = usize::try_from(end - begin).unwrap_or(usize::MAX);
        if block.bytes.len() < wanted + MARGIN {
            block.bytes.resize(wanted + MARGIN, 0);
        }
        let mut filled = fill(&self.file, &mut block.bytes[..wanted + MARGIN], begin)?;
        let inside = wanted.min(filled);
        let before = usize::try_from(start - begin).unwrap_or(0).saturating_sub(1);
        let known = &block.bytes[before.min(inside)..inside];
        let first = memchr::memchr(b'\n', known).map_or(inside, |at| before + at + 1);
        block.from = if start == 0 { 0 } else { first };
        block.to = block.from;
        if block.from >= inside {
            return Ok(());
        }
        // The last line ends where it ends, not where the span does.
        let mut searched = inside - 1;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &block.bytes[searched..filled]) {
                block.to = searched + at + 1;
                return Ok(());
            }
            let at = begin + filled as u64;
            if at >= self.size || filled - block.from >= LONGEST {
                block.to = filled;
                return Ok(());
            }
            searched = filled;
            if block.bytes.len() < filled + REST {
                block.bytes.resize(filled + REST, 0);
            }
            let more = fill(&self.file, &mut block.bytes[filled..filled + REST], at)?;
            if more == 0 {
                block.to = filled;
                return Ok(());
            }
            filled += more;
        }
    }
}

fn fill(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Blocks for FileBlocks {
    fn next(&self, block: &mut Block) -> io::Result<bool> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(span) = self.spans.get(number) else { return Ok(false) };
        block.number = number;
        self.read(*span, block)?;
        Ok(true)
    }
}

/// Anything that can only be read from its beginning: one reads, the others search.
pub struct StreamBlocks(Mutex<Stream>);

struct Stream {
    reader: Box<dyn Read + Send>,
    /// Whether lines are handed on as they come, or many together.
    live: bool,
    rest: Vec<u8>,
    number: usize,
    ended: bool,
    /// Why it ended, if that is still to be told.
    failed: Option<io::Error>,
    /// Whether what comes belongs to a line that was cut.
    inside: bool,
}

impl StreamBlocks {
    /// What `reader` gives until its end; `live` where it may give some now and more later.
    pub fn new(reader: Box<dyn Read + Send>, live: bool) -> Self {
        Self(Mutex::new(Stream {
            reader,
            live,
            rest: Vec::new(),
            number: 0,
            ended: false,
            failed: None,
            inside: false,
        }))
    }
}

impl Stream {
    fn read(&mut self, wanted: u64, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut reader = self.reader.by_ref().take(wanted);
        if !self.live {
            return reader.read_to_end(into);
        }
        let known = into.len();
        into.resize(known + usize::try_from(wanted).unwrap_or(REST), 0);
        let read = loop {
            match reader.read(&mut into[known..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        into.truncate(known + *read.as_ref().unwrap_or(&0));
        read
    }
}

impl Blocks for StreamBlocks {
    fn next(&self, block: &mut Block) -> io::Result<bool> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (block.from, block.to, block.number) = (0, 0, stream.number);
        stream.number += 1;
        block.bytes.clear();
        block.bytes.append(&mut stream.rest);
        let mut searched = 0;
        let end = loop {
            if stream.ended {
                break block.bytes.len();
            }
            if block.bytes.len() >= LONGEST {
                stream.inside = true;
                break block.bytes.len();
            }
            let wanted = BLOCK.saturating_sub(block.bytes.len() as u64).max(REST as u64);
            match stream.read(wanted, &mut block.bytes) {
                Ok(read) => stream.ended = read == 0,
                // What came before is handed out first.
                Err(error) => (stream.ended, stream.failed) = (true, Some(error)),
            }
            if stream.inside {
                let end = memchr::memchr(b'\n', &block.bytes).map(|at| at + 1);
                block.bytes.drain(..end.unwrap_or(block.bytes.len()));
                stream.inside = end.is_none();
                searched = 0;
            }
            match memchr::memrchr(b'\n', &block.bytes[searched..]) {
                Some(at) => break searched + at + 1,
                None => searched = block.bytes.len(),
            }
        };
        stream.rest = block.bytes.split_off(end);
        block.to = end;
        match (end, stream.failed.take()) {
            (0, Some(error)) => Err(error),
            (_, failed) => {
                stream.failed = failed;
                Ok(end > 0)
            }
        }
    }
}

/// A place to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file; `.gz` and `.zst` are unpacked.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl Source {
    /// Whether all of it can be read without waiting for whoever writes it.
    pub fn is_at_hand(&self) -> bool {
        matches!(self, Self::File(path) if path.is_file())
    }

    /// Opens it whole.
    pub fn open(&self) -> io::Result<Box<dyn Blocks>> {
        let Self::File(path) = self else { return Ok(Box::new(StreamBlocks::new(Box::new(io::stdin()), true))) };
        let file = File::open(path)?;
        let live = !self.is_at_hand();
        let unpacked: Box<dyn Read + Send> = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))),
            Some("zst") => {
                let frames = ruzstd::decoding::StreamingDecoder::new(BufReader::with_capacity(1 << 18, file));
                Box::new(frames.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?)
            }
            _ if file.metadata()?.is_file() => return Ok(Box::new(FileBlocks::whole(file)?)),
            _ => Box::new(file),
        };
        Ok(Box::new(StreamBlocks::new(unpacked, live)))
    }
}

/// A log file and what it was before it was rotated, the oldest first.
pub fn with_rotated(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let number = |file: &str| -> Option<u32> {
        let rest = file.strip_prefix(&name)?.strip_prefix('.')?;
        rest.trim_end_matches(".gz").trim_end_matches(".zst").parse().ok()
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut rotated: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((number(&entry.file_name().to_string_lossy())?, entry.path()))).collect();
    rotated.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    rotated.into_iter().map(|(_, path)| path).chain([path.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    fn all(blocks: &dyn Blocks) -> Vec<u8> {
        let (mut block, mut out) = (Block::default(), Vec::new());
        while blocks.next(&mut block).unwrap() {
            out.extend_from_slice(block.lines());
        }
        out
    }

    proptest! {
        #[test]
        fn spans_of_any_size_have_every_line_once(text in "[ab\n]{0,60}", size in 1_u64..20) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let length = text.len() as u64;
            let spans = (0..length.div_ceil(size)).map(|number| (number * size, ((number + 1) * size).min(length)));
            let blocks = FileBlocks::of(file, spans.collect()).unwrap();
            prop_assert_eq!(String::from_utf8(all(&blocks)).unwrap(), text);
        }

        #[test]
        fn a_stream_gives_whole_lines(lines in prop::collection::vec("[ab]{0,9}", 0..30), live: bool) {
            let text = lines.join("\n");
            let blocks = StreamBlocks::new(Box::new(io::Cursor::new(text.clone().into_bytes())), live);
            prop_assert_eq!(String::from_utf8(all(&blocks)).unwrap(), text);
        }
    }
}
