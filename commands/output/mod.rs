//! What commands print: data on standard output, messages on standard error.

use std::io::{IsTerminal, Write};

mod table;
pub(crate) mod watch;

pub(crate) use discuno::observe::mask::{mask_document, plain, without_addresses};
pub(crate) use table::Table;

/// A line of data.
pub(crate) fn line(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", plain(text))
}

/// One JSON document.
pub(crate) fn document(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(value)?)?)
}

/// Cells of data, with tabs between them.
pub(crate) fn cells<const N: usize>(cells: [&str; N]) -> std::io::Result<()> {
    let cells = cells.map(|cell| plain(cell).replace('\n', " "));
    writeln!(std::io::stdout().lock(), "{}", cells.join("\t"))
}

/// What came of an act: cells of data, or a document.
pub(crate) fn outcome<const N: usize>(
    json: bool,
    cells: [&str; N],
    document: &impl serde::Serialize,
) -> anyhow::Result<()> {
    if json { self::document(document) } else { Ok(self::cells(cells)?) }
}

/// One JSON value on a line of its own.
pub(crate) fn json_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(value)?)?)
}

/// A message to the person.
pub(crate) fn note(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr().lock(), "{}", plain(text));
}

/// Whether a person looks at standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::plain;

    proptest! {
        #[test]
        fn nothing_that_is_shown_can_steer_a_terminal(text in any::<String>(), evil in "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{200b}-\u{202e}]{0,20}") {
            let shown = plain(&format!("{text}{evil}"));
            prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c)), "{shown:?}");
            prop_assert_eq!(plain(&shown), shown.clone(), "once is enough");
        }
    }
}
