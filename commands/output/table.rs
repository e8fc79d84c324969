//! Tables: aligned and wrapped on a terminal, tab-separated lines in a pipe.

use std::io::Write;

use tabled::builder::Builder;
use tabled::settings::object::Rows;
use tabled::settings::peaker::Priority;
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Format, Style, Width};

use crate::output::{is_terminal, plain};

/// Rows under named columns.
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(cells.to_vec());
    }

    /// To standard output, in the form that fits who reads it.
    pub(crate) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if is_terminal() {
            return writeln!(out, "{}", self.aligned(terminal_width()));
        }
        for row in std::iter::once(&self.columns).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell).replace(['\t', '\n'], " ")).collect();
            writeln!(out, "{}", cells.join("\t"))?;
        }
        Ok(())
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
