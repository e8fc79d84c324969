//! What must hold of any bytes from outside: on all that the fuzzer has kept, on what looks like it, and on anything.

use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop, proptest};

#[path = "../../fuzz/checks.rs"]
mod checks;

/// The files of every target.
fn corpus() -> Vec<(checks::Check, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, check) in checks::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        all.extend(files.into_iter().map(|file| (check, std::fs::read(file).unwrap())));
    }
    all
}

#[test]
fn everything_that_the_fuzzer_has_kept_passes() {
    for (check, bytes) in corpus() {
        check(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, check) in checks::ALL {
            check(&bytes);
        }
    }

    #[test]
    fn what_looks_like_an_event_is_borne(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(PIECES)), 1..6),
    ) {
        let all = corpus();
        let (check, mut bytes) = which.get(&all).clone();
        for (place, length, piece) in cuts {
            let from = place.index(bytes.len() + 1);
            let until = (from + length).min(bytes.len());
            bytes.splice(from..until, piece.bytes());
        }
        check(&bytes);
    }
}

/// What breaks readers.
const PIECES: &[&str] = &[
    "",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "-",
    "1e999",
    "-0",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "1e-400",
    "null",
    "true",
    "\u{0}",
    "\\u0000",
    "\\ud800",
    "\\udc00\\ud800",
    "\u{202e}",
    "\u{feff}",
    "\r\n",
    "\n",
    "é",
    "\u{1f600}",
    "t=",
    "v1=",
    "=",
    ".",
    "-1",
    "2026-02-30T25:61:61Z",
    "+99999-01-01T00:00:00Z",
];
