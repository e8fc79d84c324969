//! Tables: aligned and wrapped on a terminal, tab-separated lines in a pipe.

use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Format, Style, Width};

use crate::output::{data, is_terminal, line, note, plain};

/// A column of single words is not made narrower than this to have another beside it: an id that is broken is of no use.
const NARROW: usize = 28;
/// Nor is a column of several words than this: they go on below each other.
const PROSE: usize = 16;
/// What the style puts around a cell.
const MARGIN: usize = 3;

/// Rows under named columns, the most important first: those that do not fit a terminal are left out from the end.
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    pub(crate) fn of(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(cells.to_vec());
    }

    /// To standard output, in the form that fits who reads it. Where columns are left out, standard error says so.
    pub(crate) fn print(&self) -> std::io::Result<()> {
        if is_terminal() {
            let width = terminal_width();
            let widths = self.widths(width);
            data(format!("{}\n", self.aligned(&widths)).as_bytes())?;
            if let Some(left_out) = self.left_out(&widths) {
                note(&left_out);
            }
            return Ok(());
        }
        let rows = std::iter::once(&self.columns).chain(&self.rows).map(|row| {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell).replace(['\t', '\n'], " ")).collect();
            cells.join("\t") + "\n"
        });
        data(rows.collect::<String>().as_bytes())
    }

    /// The same where no column may be left out: on a terminal that has no room for all, the last is told below the others.
    pub(crate) fn print_whole(&self) -> std::io::Result<()> {
        let whole =
            self.extents().iter().map(|extent| extent.word.min(NARROW).max(extent.need) + MARGIN).sum::<usize>();
        if !is_terminal() || whole <= terminal_width() {
            return self.print();
        }
        for row in &self.rows {
            if let Some((last, others)) = row.split_last() {
                line(&others.join("  "))?;
                if !last.is_empty() {
                    line(&format!("    {last}"))?;
                }
            }
        }
        Ok(())
    }

    /// As it looks on this terminal, with what is to be said of columns that are left out.
    pub(crate) fn fitted(&self) -> String {
        let widths = self.widths(terminal_width());
        let left_out = self.left_out(&widths).map(|text| format!("\n{text}")).unwrap_or_default();
        self.aligned(&widths) + &left_out
    }

    fn extents(&self) -> Vec<Extent> {
        let extent = |index: usize| {
            let cells = || self.rows.iter().map(|row| &row[index]).chain([&self.columns[index]]);
            let longest = |length: fn(&str) -> usize| cells().map(|cell| length(cell)).max().unwrap_or(0);
            let full = longest(|cell| cell.chars().count());
            let word = longest(|cell| cell.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0));
            Extent { full, word, need: full.min(if word < full { PROSE } else { NARROW }) }
        };
        (0..self.columns.len()).map(extent).collect()
    }

    /// The widths of as many columns from the first on as get what they need. What is left goes to those whose words are broken
    /// first, then to the narrowest that has more to show.
    fn widths(&self, width: usize) -> Vec<usize> {
        let extents = self.extents();
        let mut room = width;
        let mut widths: Vec<usize> = Vec::new();
        for Extent { need, .. } in &extents {
            match room.checked_sub(need + MARGIN) {
                Some(left) => room = left,
                None if widths.is_empty() => room = 0,
                None => break,
            }
            widths.push(*need);
        }
        for _ in 0..room {
            let wanting = widths.iter_mut().zip(&extents).filter(|(given, extent)| **given < extent.full);
            let Some((next, _)) = wanting.min_by_key(|(given, extent)| (**given >= extent.word, **given)) else {
                break;
            };
            *next += 1;
        }
        widths
    }

    /// Which columns have no room, and how to see them.
    fn left_out(&self, widths: &[usize]) -> Option<String> {
        let left_out = &self.columns[widths.len()..];
        (!left_out.is_empty()).then(|| {
            format!(
                "no room for {}: a wider terminal, a pipe, or --json where there is one, shows all",
                left_out.join(", ")
            )
        })
    }

    fn aligned(&self, widths: &[usize]) -> String {
        let mut builder = Builder::default();
        builder.push_record(&self.columns[..widths.len()]);
        for row in &self.rows {
            builder.push_record(row[..widths.len()].iter().map(|cell| plain(cell)));
        }
        let style = Style::blank().horizontals([(1, HorizontalLine::new('─').intersection('─'))]);
        let mut table = builder.build();
        table.with(style);
        for (index, width) in widths.iter().enumerate() {
            table.modify(Columns::one(index), Width::wrap(*width).keep_words(true));
        }
        table.modify(Rows::first(), Format::content(str::to_uppercase)).to_string()
    }
}

/// How much room a column takes.
struct Extent {
    /// That it is not cut or wrapped.
    full: usize,
    /// That no word is broken.
    word: usize,
    /// That it is worth having.
    need: usize,
}

/// What is not a terminal has room for everything.
const UNLIMITED: usize = 400;

fn terminal_width() -> usize {
    if !is_terminal() {
        return UNLIMITED;
    }
    let (_, columns) = dialoguer::console::Term::stdout().size();
    usize::from(columns).clamp(40, UNLIMITED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["run", "workflow", "state", "step"]);
        table.row(
            ["run_1", "transfer-to-mentor", "succeeded: nothing was due yet", "look-for-a-late-booking"]
                .map(str::to_owned),
        );
        table
    }

    #[test]
    fn several_words_give_way_to_further_columns_and_single_ones_do_not() {
        for (width, columns) in [(40, 2), (50, 3), (60, 3), (76, 4), (200, 4)] {
            let (table, widths) = (table(), table().widths(width));
            assert_eq!(widths.len(), columns, "{width}: {widths:?}");
            let text = table.aligned(&widths);
            assert!(text.lines().all(|line| line.trim_end().chars().count() <= width), "{width}: {text}");
            assert!(text.contains("transfer-to-mentor"), "{text}");
            assert_eq!(table.left_out(&widths).is_some(), columns < 4);
        }
        assert_eq!(table().widths(200), [5, 18, 30, 23], "nothing is wider than it has to be");
        assert!(table().left_out(&table().widths(60)).unwrap().starts_with("no room for step: "));
    }
}
