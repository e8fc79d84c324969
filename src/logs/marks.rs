//! Where the bytes stand that a reader of JSON stops at, 64 at a time: by the widest vectors that the processor has.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

/// Bytes that share a word.
pub const WIDTH: usize = 64;

/// What stands where in 64 bytes: a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Word {
    /// Quotes, backslashes and control characters: what may end a plain run of a string.
    pub ends: u64,
    /// Bytes beyond ASCII.
    pub beyond: u64,
}

/// The marks of a text.
#[derive(Debug, Clone)]
pub struct Marks {
    level: Level,
    words: Vec<Word>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { level: Level::new(), words: Vec::new() }
    }
}

impl Marks {
    /// Without what only some processors have.
    pub fn portable() -> Self {
        Self { level: Level::baseline(), words: Vec::new() }
    }

    /// Marks a text.
    pub fn set(&mut self, text: &[u8]) {
        self.words.resize(text.len().div_ceil(WIDTH), Word::default());
        let (level, words) = (self.level, self.words.as_mut_slice());
        dispatch!(level, simd => mark(simd, text, words));
    }

    /// The marks.
    pub fn words(&self) -> &[Word] {
        &self.words
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the vectors are those of the caller")]
fn mark<S: Simd>(simd: S, text: &[u8], words: &mut [Word]) {
    let [quote, backslash, space, beyond] = [b'"', b'\\', b' ', 0x80].map(|byte| u8x64::splat(simd, byte));
    let word = |chunk: &[u8; WIDTH]| {
        let bytes = u8x64::from_slice(simd, chunk);
        let ends = bytes.simd_eq(quote) | bytes.simd_eq(backslash) | bytes.simd_lt(space);
        Word { ends: ends.to_bitmask(), beyond: bytes.simd_ge(beyond).to_bitmask() }
    };
    let (chunks, rest) = text.as_chunks::<WIDTH>();
    for (chunk, place) in chunks.iter().zip(words.iter_mut()) {
        *place = word(chunk);
    }
    if let (false, Some(last)) = (rest.is_empty(), words.last_mut()) {
        // What is behind the end is a control character, and so ends everything.
        let mut padded = [0; WIDTH];
        padded[..rest.len()].copy_from_slice(rest);
        *last = word(&padded);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn the_vectors_of_every_processor_say_what_each_byte_says(text in prop::collection::vec(any::<u8>(), 1..300)) {
            let mut each = vec![Word::default(); text.len().div_ceil(WIDTH)];
            for place in 0..each.len() * WIDTH {
                let byte = text.get(place).copied().unwrap_or(0);
                let word = &mut each[place / WIDTH];
                word.ends |= u64::from(byte == b'"' || byte == b'\\' || byte < 0x20) << (place % WIDTH);
                word.beyond |= u64::from(byte >= 0x80) << (place % WIDTH);
            }
            for mut marks in [Marks::default(), Marks::portable(), Marks { level: Level::fallback(), words: Vec::new() }] {
                marks.set(&text);
                prop_assert_eq!(marks.words(), each.as_slice());
                marks.set(&text[..1]);
                prop_assert_eq!(marks.words().len(), 1);
            }
        }
    }
}
