//! Tables: aligned and wrapped on a terminal, tab-separated lines in a pipe.

use std::io::Write;

use tabled::builder::Builder;
use tabled::settings::object::Rows;
use tabled::settings::peaker::Priority;
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Format, Style, Width};

use crate::output::{is_terminal, plain};

/// A column is not made narrower than this to have another beside it.
const NARROW: usize = 28;
/// What the style puts around a cell.
const MARGIN: usize = 3;

/// Rows under named columns.
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

    /// To standard output, in the form that fits who reads it.
    pub(crate) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if is_terminal() {
            return writeln!(out, "{}", self.fitted());
        }
        for row in std::iter::once(&self.columns).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell).replace(['\t', '\n'], " ")).collect();
            writeln!(out, "{}", cells.join("\t"))?;
        }
        Ok(())
    }

    /// The same where no column may be left out: on a terminal that has no room for all, the last is told below the others.
    pub(crate) fn print_whole(&self) -> std::io::Result<()> {
        if !is_terminal() || self.fitting(terminal_width()) == self.columns.len() {
            return self.print();
        }
        let mut out = std::io::stdout().lock();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
            if let Some((last, others)) = cells.split_last() {
                writeln!(out, "{}", others.join("  "))?;
                if !last.is_empty() {
                    writeln!(out, "    {last}")?;
                }
            }
        }
        Ok(())
    }

    /// As it looks on this terminal, with as many columns from the first on as fit.
    pub(crate) fn fitted(&self) -> String {
        let width = terminal_width();
        self.first_columns(self.fitting(width)).aligned(width)
    }

    /// How many columns fit, if none gets less than it needs or [`NARROW`].
    fn fitting(&self, width: usize) -> usize {
        let needs = |index: usize| {
            let cells = self.rows.iter().map(|row| row[index].chars().count());
            cells.chain([self.columns[index].len()]).max().unwrap_or(0).min(NARROW) + MARGIN
        };
        let mut used = 0;
        let fitting = (0..self.columns.len()).take_while(|&index| {
            used += needs(index);
            used <= width
        });
        fitting.count().max(1)
    }

    fn first_columns(&self, count: usize) -> Self {
        let rows = self.rows.iter().map(|row| row[..count].to_vec()).collect();
        Self { columns: self.columns[..count].to_vec(), rows }
    }

    fn aligned(&self, width: usize) -> String {
        let mut builder = Builder::default();
        builder.push_record(&self.columns);
        for row in &self.rows {
            builder.push_record(row.iter().map(|cell| plain(cell)));
        }
        let style = Style::blank().horizontals([(1, HorizontalLine::new('─').intersection('─'))]);
        builder
            .build()
            .with(style)
            .with(Width::wrap(width).keep_words(true).priority(Priority::max(true)))
            .modify(Rows::first(), Format::content(str::to_uppercase))
            .to_string()
    }
}

fn terminal_width() -> usize {
    let (_, columns) = dialoguer::console::Term::stdout().size();
    usize::from(columns).clamp(40, 400)
}
