//! Which places of a text may hold what is looked for: one or two needles in one pass, by the two bytes of each that are rarest.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use crate::logs::marks::WIDTH;

/// How much of a text is counted to learn which bytes are rare.
const SAMPLE: usize = 16 << 10;
/// Rare bytes of which two are chosen.
const CANDIDATES: usize = 5;
/// Words that are looked at before any of them is looked into.
const GROUP: usize = 4;

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

    /// What is rare in the first text is likely to be rare in the next.
    fn rank(&mut self, sample: &[u8]) {
        let mut counts = [0_usize; 256];
        for byte in sample {
            counts[usize::from(*byte)] += 1;
        }
        for needle in &mut self.pair {
            needle.rank(sample, &counts);
        }
        self.ranked = true;
    }
}

impl Needle {
    /// Chooses of its rarest bytes the two that are met together least.
    fn rank(&mut self, sample: &[u8], counts: &[usize; 256]) {
        let mut places: Vec<usize> = (0..self.bytes.len()).collect();
        places.sort_by_key(|place| counts[usize::from(self.bytes[*place])]);
        places.truncate(CANDIDATES);
        places.sort_unstable();
        let pairs =
            places.iter().enumerate().flat_map(|(at, one)| places[at..].iter().map(move |other| (*one, *other)));
        let met = |&(one, other): &(usize, usize)| {
            let later = sample.get(other - one..).unwrap_or_default();
            let (one, other) = (self.bytes[one], self.bytes[other]);
            sample.iter().zip(later).filter(|(here, there)| [**here, **there] == [one, other]).count()
        };
        if let Some((one, other)) = pairs.min_by_key(met) {
            (self.one, self.other) = (one, other);
        }
    }

    /// Whether it stands in the text with its first chosen byte at this place.
    fn is_at(&self, text: &[u8], place: usize) -> bool {
        text[place] == self.bytes[self.one]
            && place.checked_sub(self.one).is_some_and(|start| text[start..].starts_with(&self.bytes))
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the vectors are those of the caller")]
fn find<S: Simd>(simd: S, pair: &[Needle; 2], text: &[u8], hits: &mut Vec<usize>) {
    let [needle, other] = pair.each_ref().map(|needle| {
        let [one, other] = [needle.one, needle.other].map(|place| u8x64::splat(simd, needle.bytes[place]));
        (one, other, needle.other - needle.one)
    });
    let alone = pair[0].bytes == pair[1].bytes;
    let mut at = 0;
    while let Some(window) = text.get(at..at + GROUP * WIDTH + needle.2.max(other.2)) {
        let masks: [u64; GROUP] = std::array::from_fn(|word| {
            let places = |from: usize, byte| {
                u8x64::from_slice(simd, &window[word * WIDTH + from..][..WIDTH]).simd_eq(byte).to_bitmask()
            };
            let either = |(one, other, apart)| places(0, one) & places(apart, other);
            if alone { either(needle) } else { either(needle) | either(other) }
        });
        if masks.iter().fold(0, |any, mask| any | mask) != 0 {
            verify(pair, text, at, masks, hits);
        }
        at += GROUP * WIDTH;
    }
    hits.extend((at..text.len()).filter(|place| pair.iter().any(|needle| needle.is_at(text, *place))));
}

/// Takes the places that are marked, from `at` on, and hold one of the needles.
#[cold]
#[inline(never)]
fn verify(pair: &[Needle; 2], text: &[u8], mut at: usize, masks: [u64; GROUP], hits: &mut Vec<usize>) {
    for mut left in masks {
        while left != 0 {
            let place = at + left.trailing_zeros() as usize;
            if pair.iter().any(|needle| needle.is_at(text, place)) {
                hits.push(place);
            }
            left &= left - 1;
        }
        at += WIDTH;
    }
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
