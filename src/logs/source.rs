//! Where lines come from: files, compressed files, rotated files, standard input.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::logs::frames::Frames;

/// Searched in one go: small enough to stay in a core's own cache between the kernel's copy and the search.
pub const BLOCK: u64 = 128 << 10;
/// Where the kernel copies to it is the faster by a sixth.
const ALIGNED: usize = 64;
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

    /// Makes room for so many bytes, and says where it begins.
    fn room(&mut self, wanted: usize) -> usize {
        if self.bytes.len() < wanted + ALIGNED {
            self.bytes.resize(wanted + ALIGNED, 0);
        }
        self.bytes.as_ptr().align_offset(ALIGNED).min(ALIGNED)
    }
}

/// Blocks in order, handed out to whoever comes first.
pub trait Blocks: Sync {
    /// Reads the next block over what `block` held. Whether there was one. A block that cannot be read has its number too.
    fn next(&self, block: &mut Block) -> io::Result<bool>;
}

/// A plain file: any number of readers at once.
///
/// A span has the lines whose line breaks before them are in it, and the first of the file: so no byte outside tells where its
/// first begins.
pub struct FileBlocks {
    file: File,
    /// Nothing from there on is read.
    size: u64,
    spans: Vec<(u64, u64)>,
    next: AtomicUsize,
}

impl FileBlocks {
    /// The whole file, as it is now.
    pub fn whole(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Self::up_to(file, size)
    }

    /// What is before `size`.
    pub fn up_to(file: File, size: u64) -> io::Result<Self> {
        let spans = (0..size.div_ceil(BLOCK)).map(|number| (number * BLOCK, ((number + 1) * BLOCK).min(size)));
        Ok(Self { spans: spans.collect(), file, size, next: AtomicUsize::new(0) })
    }

    /// The lines of these spans.
    pub fn of(file: File, spans: Vec<(u64, u64)>) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size, spans, next: AtomicUsize::new(0) })
    }

    fn read(&self, (start, end): (u64, u64), block: &mut Block) -> io::Result<()> {
        let span = usize::try_from(end - start).unwrap_or(usize::MAX);
        let base = block.room(span + MARGIN);
        let mut filled = base + self.fill(&mut block.bytes[base..base + span + MARGIN], start)?;
        let inside = filled.min(base + span);
        let broken = memchr::memchr(b'\n', &block.bytes[base..inside]).map(|at| base + at + 1);
        (block.from, block.to) = (0, 0);
        let Some(first) = (if start == 0 { Some(base) } else { broken }) else { return Ok(()) };
        block.from = first;
        // The last line ends where it ends, not where the span does.
        let mut searched = inside;
        loop {
            let end = memchr::memchr(b'\n', &block.bytes[searched..filled]).map(|at| searched + at + 1);
            block.to = end.unwrap_or(filled);
            if end.is_some() || filled - first >= LONGEST {
                return Ok(());
            }
            searched = filled;
            if block.bytes.len() < filled + REST {
                block.bytes.resize(filled + REST, 0);
            }
            let more = self.fill(&mut block.bytes[filled..filled + REST], start + (filled - base) as u64)?;
            if more == 0 {
                return Ok(());
            }
            filled += more;
        }
    }

    /// Reads as many bytes as there are. How many.
    fn fill(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let most = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        let mut filled = 0;
        while filled < most {
            match self.file.read_at(&mut bytes[filled..most], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
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

/// Where the last whole line ends.
pub(super) fn end_of_lines(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut bytes = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(bytes.len() as u64);
        let part = &mut bytes[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(part, start)?;
        if let Some(at) = memchr::memrchr(b'\n', part) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
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

    /// Whether it is compressed: it is read from its beginning alone, and nothing is appended to it.
    pub fn is_packed(&self) -> bool {
        matches!(self, Self::File(path) if is_packed(path))
    }

    /// Opens it whole.
    pub fn open(&self) -> io::Result<Box<dyn Blocks>> {
        let Self::File(path) = self else { return Ok(Box::new(StreamBlocks::new(Box::new(io::stdin()), true))) };
        let file = File::open(path)?;
        let live = !self.is_at_hand();
        let unpacked: Box<dyn Read + Send> = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))),
            Some("zst") => Box::new(Frames::new(BufReader::with_capacity(1 << 18, file))?),
            // What some file systems say is empty is read until it ends.
            _ if file.metadata()?.is_file() && file.metadata()?.len() > 0 => {
                return Ok(Box::new(FileBlocks::whole(file)?));
            }
            _ => Box::new(file),
        };
        Ok(Box::new(StreamBlocks::new(unpacked, live)))
    }
}

/// Whether a file is compressed, by its name.
pub fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz" || extension == "zst")
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
