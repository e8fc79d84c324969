//! Which places of a text may hold what is looked for: one or two needles in one pass, by the two bytes of each that are rarest.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use crate::logs::marks::WIDTH;

/// How much of a text is counted to learn which bytes are rare.
const SAMPLE: usize = 16 << 10;

/// Needles of which at least one is looked for.
#[derive(Debug, Clone)]
pub struct Needles {
    level: Level,
    /// The same twice where there is one.
    pair: [Needle; 2],
    /// Whether the rarest bytes are known.
    ranked: bool,
    hits: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Needle {
    bytes: Vec<u8>,
    /// Where two bytes stand in it, in this order.
    one: usize,
    other: usize,
}

impl Needles {
    /// Of these bytes, which are not empty.
    pub fn new(needle: &[u8], other: &[u8]) -> Self {
        let pair = [needle, other].map(|bytes| Needle { bytes: bytes.to_vec(), one: 0, other: bytes.len() - 1 });
        Self { level: Level::new(), pair, ranked: false, hits: Vec::new() }
    }

    /// Where in the text one of them stands: any place within it, in order.
    pub fn find(&mut self, text: &[u8]) -> &[usize] {
        if !self.ranked && !text.is_empty() {
            self.rank(&text[..text.len().min(SAMPLE)]);
        }
        self.hits.clear();
        let (pair, hits, level) = (&self.pair, &mut self.hits, self.level);
        dispatch!(level, simd => find(simd, pair, text, hits));
        &self.hits
    }

    /// The bytes that are rare in the first text are likely to be rare in the next.
    fn rank(&mut self, sample: &[u8]) {
        let mut counts = [0_u32; 256];
        for byte in sample {
            counts[usize::from(*byte)] += 1;
        }
        for needle in &mut self.pair {
            let mut places: Vec<usize> = (0..needle.bytes.len()).collect();
            places.sort_by_key(|place| counts[usize::from(needle.bytes[*place])]);
            let (rarest, next) = (places[0], places.get(1).copied().unwrap_or(places[0]));
            (needle.one, needle.other) = (rarest.min(next), rarest.max(next));
        }
        self.ranked = true;
    }
}

impl Needle {
    /// Whether it stands in the text with its first chosen byte at this place.
    fn is_at(&self, text: &[u8], place: usize) -> bool {
        place.checked_sub(self.one).is_some_and(|start| text[start..].starts_with(&self.bytes))
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the vectors are those of the caller")]
fn find<S: Simd>(simd: S, pair: &[Needle; 2], text: &[u8], hits: &mut Vec<usize>) {
    let bytes =
        pair.each_ref().map(|needle| [needle.one, needle.other].map(|place| u8x64::splat(simd, needle.bytes[place])));
    let apart = pair.each_ref().map(|needle| needle.other - needle.one);
    let mut hit = |place: usize| {
        if pair.iter().any(|needle| needle.is_at(text, place)) {
            hits.push(place);
        }
    };
    let mut at = 0;
    while let (Some(here), Some(first), Some(second)) =
        (chunk(text, at), chunk(text, at + apart[0]), chunk(text, at + apart[1]))
    {
        let [here, first, second] = [here, first, second].map(|chunk| u8x64::from_slice(simd, chunk));
        let either = (here.simd_eq(bytes[0][0]) & first.simd_eq(bytes[0][1]))
            | (here.simd_eq(bytes[1][0]) & second.simd_eq(bytes[1][1]));
        let mut left = either.to_bitmask();
        while left != 0 {
            hit(at + left.trailing_zeros() as usize);
            left &= left - 1;
        }
        at += WIDTH;
    }
    (at..text.len()).for_each(hit);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the vectors are those of the caller")]
fn chunk(text: &[u8], at: usize) -> Option<&[u8; WIDTH]> {
    text.get(at..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn every_place_of_each_needle_is_found(text in "[ab\"]{0,400}", needle in "[ab\"]{1,9}", other in "[ab\"]{1,3}") {
            let (text, pair) = (text.as_bytes(), [needle.as_bytes(), other.as_bytes()]);
            for level in [Level::new(), Level::baseline(), Level::fallback()] {
                let mut needles = Needles { level, ..Needles::new(pair[0], pair[1]) };
                needles.find(text);
                let holds = |place: &usize| needles.pair.iter().any(|needle| needle.is_at(text, *place));
                prop_assert_eq!(&needles.hits, &(0..text.len()).filter(holds).collect::<Vec<_>>());
                let starts = |bytes: &[u8]| (0..text.len()).any(|start| text[start..].starts_with(bytes));
                prop_assert_eq!(!needles.hits.is_empty(), pair.into_iter().any(starts));
            }
        }
    }
}
