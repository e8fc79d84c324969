//! Lists: what they have in common.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use discuno::app::{App, Parts};
use discuno::model::act::Act;
use discuno::model::id::PaymentId;
use discuno::model::time::Timestamp;
use discuno::ops::reveal;
use discuno::ops::when::between;
use discuno::store::error::Error;
use discuno::store::filter::{Filter, STUCK};
use discuno::store::order::{Deed, Order};
use discuno::store::{Shared, Subject};
use serde::Serialize;

use crate::exit::{Exit, Usage};
use crate::output::{self, Table, watch};
use crate::runtime::{Overrides, actor};

pub(crate) mod audit;
pub(crate) mod bookings;
pub(crate) mod cases;
pub(crate) mod events;
pub(crate) mod payments;
pub(crate) mod refunds;
pub(crate) mod runs;

/// What every list takes.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Common {
    #[command(flatten)]
    overrides: Overrides,
    /// Made since: 30m, 2h, 3d, yesterday, a date, an instant
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Made until
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// On this payment: any id of it
    #[arg(long, value_name = "ID")]
    payment: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Go on after this row, the last one of the page before
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// Show again whenever something changes
    #[arg(long, conflicts_with_all = ["json", "ndjson"])]
    watch: bool,
    /// Show people's names and addresses; goes into the audit trail
    #[arg(long)]
    reveal: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with = "ndjson")]
    json: bool,
    /// Print one JSON object a line
    #[arg(long)]
    ndjson: bool,
}

/// One kind of row.
pub(crate) trait Line: Serialize + Send + Sync {
    /// What the list is called.
    const LIST: &'static str;
    /// What its ids begin with.
    const PREFIX: &'static str;
    /// The columns, the most important first: those that do not fit a terminal are left out from the end.
    const COLUMNS: &'static [&'static str];

    /// The column that names one of the team, who is never masked.
    const TEAM: Option<&'static str> = None;

    /// Our id.
    fn id(&self) -> String;

    /// The cells, one for each column.
    fn cells(&self, people: People) -> Vec<String>;

    /// A page.
    fn fetch(store: &Shared, filter: Filter) -> impl Future<Output = Result<Vec<Self>, Error>> + Send
    where
        Self: Sized;
}

/// Whether people are shown as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum People {
    Masked,
    Revealed,
}

impl People {
    /// An address as it may be shown.
    pub(crate) fn email(self, address: &str) -> String {
        match self {
            Self::Masked => discuno::observe::mask::email(address),
            Self::Revealed => address.to_owned(),
        }
    }
}

/// Shows a list, once or for as long as somebody watches.
pub(crate) async fn show<L: Line>(common: Common, mut filter: Filter, stuck: bool) -> anyhow::Result<Exit> {
    let config = common.overrides.config(&[])?;
    let open = if common.reveal { App::existing } else { App::looking };
    let app = open(config, Parts::system())?;
    let now = app.clock.now();
    (filter.since, filter.until) = between(common.since.as_deref(), common.until.as_deref(), now)?;
    filter.stuck = stuck.then(|| now.minus(STUCK));
    filter.limit = common.limit;
    filter.before = common.before.as_deref().map(|id| row_number(id, L::PREFIX)).transpose()?;
    if let Some(id) = &common.payment {
        filter.payment = Some(payment(&app.store, id).await?);
    }
    let people = if common.reveal { People::Revealed } else { People::Masked };
    let seen = Mutex::new(None);
    let fetch = async || {
        let rows = L::fetch(&app.store, filter.clone()).await?;
        if people == People::Revealed {
            note_revealed(&app, &filter, &rows, &seen).await?;
        }
        anyhow::Ok(rows)
    };
    if common.watch {
        return watch::watch(&app.store, async || Ok(table(&fetch().await?, people).fitted())).await;
    }
    let rows = fetch().await?;
    if common.json || common.ndjson {
        print_json(&rows, people, common.ndjson)?;
    } else {
        table(&rows, people).print()?;
        if rows.is_empty() {
            output::note("none");
        }
    }
    if let Some(last) = rows.last().filter(|_| rows.len() == common.limit as usize) {
        output::note(&format!("there may be more: --before {}", last.id()));
    }
    Ok(Exit::Done)
}

/// Puts into the trail what is about to be shown, before it is: all of the first look, and of each later one what is new in it. A trail
/// that is watched is noted once, since each note is a row that nobody has seen yet.
async fn note_revealed<L: Line>(
    app: &App,
    filter: &Filter,
    rows: &[L],
    seen: &Mutex<Option<BTreeSet<String>>>,
) -> anyhow::Result<()> {
    let ids = rows.iter().map(L::id);
    let (is_first, fresh): (bool, Vec<String>) = match &*seen.lock().unwrap_or_else(PoisonError::into_inner) {
        None => (true, ids.collect()),
        Some(seen) => (false, ids.filter(|id| !seen.contains(id)).collect()),
    };
    if is_first || !fresh.is_empty() && L::LIST != Act::LIST {
        let shown = reveal::shown(filter, &fresh);
        let deed = Deed::Reveal { subject: L::LIST.to_owned(), payment: filter.payment, shown };
        app.store.operate(Order { actor: actor(), reason: None, deed }, app.clock.now()).await?;
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().extend(fresh);
    Ok(())
}

/// The number in `pay_12`, where rows are called `pay`.
fn row_number(id: &str, prefix: &str) -> Result<i64, Usage> {
    let digits = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).unwrap_or(id);
    digits.parse().map_err(|_| Usage(format!("--before takes the id of a row, such as {prefix}_12, and not `{id}`")))
}

async fn payment(store: &Shared, id: &str) -> anyhow::Result<PaymentId> {
    match store.resolve(id).await? {
        Subject::Payment(payment) => Ok(payment),
        _ => Err(Usage(format!("{id} belongs to no payment")).into()),
    }
}

fn table<L: Line>(rows: &[L], people: People) -> Table {
    let mut table = Table::of(L::COLUMNS);
    for row in rows {
        let mut cells = row.cells(people);
        if people == People::Masked {
            for (cell, _) in cells.iter_mut().zip(L::COLUMNS).filter(|(_, column)| L::TEAM != Some(**column)) {
                *cell = output::without_addresses(cell);
            }
        }
        table.push(cells);
    }
    table
}

fn print_json<L: Line>(rows: &[L], people: People, lines: bool) -> anyhow::Result<()> {
    let mut document = serde_json::to_value(rows)?;
    if people == People::Masked {
        output::mask_document(&mut document);
    }
    if let (true, Some(rows)) = (lines, document.as_array()) {
        for row in rows {
            output::json_line(row)?;
        }
        return Ok(());
    }
    output::document(&serde_json::json!({ L::LIST: document }))
}

/// A time in a cell, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

/// A cell of something that may be absent.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The words of a set that a flag may take, for its help.
pub(crate) fn one_of<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The words of a set that a flag may take, checked.
pub(crate) fn words<T>(given: &[String], all: &[T]) -> Result<(), Usage>
where
    T: std::fmt::Display,
{
    let known: Vec<String> = all.iter().map(ToString::to_string).collect();
    match given.iter().find(|word| !known.contains(word)) {
        None => Ok(()),
        Some(word) => Err(Usage(format!("`{word}` is not one of {}", one_of(all)))),
    }
}
