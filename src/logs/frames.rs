//! Files that zstd packed: whoever appends to one begins a new frame, and some that are written in parallel have hundreds.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What all frames hold, as one stream. The library's own ends with the first.
pub(super) struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    /// What came before it is given first.
    failed: Option<io::Error>,
}

impl<R: BufRead> Frames<R> {
    /// Fails where no frame is to be found at the beginning.
    pub(super) fn new(packed: R) -> io::Result<Self> {
        let mut frames = Self { packed, decoder: FrameDecoder::new(), failed: None };
        if frames.next()? { Ok(frames) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Goes to the next frame with something in it. Whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.packed.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(invalid(&error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            while self.failed.is_none() && self.decoder.can_collect() < into.len() && !self.decoder.is_finished() {
                let missing = BlockDecodingStrategy::UptoBytes(into.len() - self.decoder.can_collect());
                self.failed = self.decoder.decode_blocks(&mut self.packed, missing).err().map(|error| invalid(&error));
            }
            let count = self.decoder.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            if let Some(error) = &self.failed {
                return Err(io::Error::new(error.kind(), error.to_string()));
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

fn invalid(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    proptest! {
        #[test]
        fn every_frame_is_unpacked_and_what_is_to_be_skipped_is_skipped(parts in prop::collection::vec("[a-c\n]{0,300}", 1..6)) {
            let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
            let packed: Vec<u8> = parts
                .iter()
                .flat_map(|part| [&skipped[..], &compress_to_vec(part.as_bytes(), CompressionLevel::Fastest)].concat())
                .collect();
            let mut text = String::new();
            Frames::new(packed.as_slice()).unwrap().read_to_string(&mut text).unwrap();
            prop_assert_eq!(text, parts.concat());
            // What is cut off is said to be, after what came before.
            let mut before = Vec::new();
            let cut = Frames::new(&packed[..packed.len() - 1]).and_then(|mut frames| frames.read_to_end(&mut before));
            prop_assert_eq!(cut.is_err(), true);
            prop_assert_eq!(Frames::new(&packed[..11]).err().map(|error| error.kind()), Some(io::ErrorKind::UnexpectedEof));
        }
    }
}
