//! What commands print: data on standard output, messages on standard error.

use std::io::{IsTerminal, Write};

mod table;
pub(crate) mod watch;

pub(crate) use discuno::observe::mask::{mask_document, plain, plain_json, without_addresses};
pub(crate) use table::Table;

/// Writes data. Whoever has seen enough of it and gone is no failure, and changes nothing of what the command comes to.
pub(crate) fn data(bytes: &[u8]) -> std::io::Result<()> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A line of data.
pub(crate) fn line(text: &str) -> std::io::Result<()> {
    data(format!("{}\n", plain(text)).as_bytes())
}

/// One JSON document.
pub(crate) fn document(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(data(format!("{}\n", plain_json(&serde_json::to_string_pretty(value)?)).as_bytes())?)
}

/// Cells of data, with tabs between them.
pub(crate) fn cells<const N: usize>(cells: [&str; N]) -> std::io::Result<()> {
    let cells = cells.map(|cell| plain(cell).replace('\n', " "));
    data(format!("{}\n", cells.join("\t")).as_bytes())
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
    Ok(data(format!("{}\n", plain_json(&serde_json::to_string(value)?)).as_bytes())?)
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

    use super::{plain, plain_json};

    proptest! {
        #[test]
        fn json_that_is_shown_steers_no_terminal_either_and_says_the_same(text in any::<String>(), evil in "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{200b}-\u{202e}]{0,20}") {
            let value = serde_json::json!({ &evil: format!("{text}{evil}") });
            let shown = plain_json(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(plain(&shown), shown.clone());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }

        #[test]
        fn nothing_that_is_shown_can_steer_a_terminal(text in any::<String>(), evil in "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{200b}-\u{202e}]{0,20}") {
            let shown = plain(&format!("{text}{evil}"));
            prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c)), "{shown:?}");
            prop_assert_eq!(plain(&shown), shown.clone(), "once is enough");
        }
    }
}
