//! Moves everything from one store to another of either kind, and proves row by row that it arrived.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use crate::store::error::Error;
use crate::store::sql::column::{Column, Param};
use crate::store::sql::connection::{Connection, Row};
use crate::store::sql::{Backend, fence};

/// Every table with what its rows are found by, those that others point to first.
const TABLES: [(&str, &[&str]); 16] = [
    ("meta", &["key"]),
    ("payments", &["id"]),
    ("events", &["id"]),
    ("runs", &["id"]),
    ("attempts", &["run_id", "step", "number"]),
    ("refunds", &["id"]),
    ("bookings", &["id"]),
    ("disputes", &["id"]),
    ("accounts", &["id"]),
    ("transfers", &["id"]),
    ("cursors", &["source"]),
    ("cases", &["id"]),
    ("mails", &["id"]),
    ("acts", &["id"]),
    ("pauses", &["kind", "name"]),
    ("alerts", &["id"]),
];

/// Rows that are read at once, and kept in one transaction.
const PAGE: usize = 2000;

/// Values in one statement.
const VALUES: usize = 4000;

/// Of each store its own: which schema it is of, whether it can be written, where its data went.
const OWN: &str = "key NOT IN ('schema', 'schema_least', 'probe', 'moved', 'filling', 'mode')";

pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().map(|(name, _)| name)
}

/// What arrived of one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Copied {
    /// Which.
    pub table: &'static str,
    /// How many rows.
    pub rows: u64,
    /// The SHA-256 of all of them, in order, the same on both sides.
    pub sha256: String,
}

/// A value on its way.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Param for Cell {
    fn column(&self) -> Column<'_> {
        match self {
            Self::Null => Column::Null,
            Self::Integer(number) => Column::Integer(*number),
            Self::Text(text) => Column::Text(text),
            Self::Blob(bytes) => Column::Blob(bytes),
        }
    }
}

impl Cell {
    /// As every kind of store keeps it: a server has no NUL in text.
    fn of(column: Column<'_>) -> Self {
        match column {
            Column::Null => Self::Null,
            Column::Integer(number) => Self::Integer(number),
            Column::Text(text) => Self::Text(text.replace('\0', "\u{fffd}").replace("\\u0000", "\\ufffd")),
            Column::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    fn add_to(&self, digest: &mut Context) {
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Null => (0, &[]),
            Self::Integer(number) => (1, &number.to_le_bytes()),
            Self::Text(text) => (2, text.as_bytes()),
            Self::Blob(bytes) => (3, bytes),
        };
        digest.update(&[kind]);
        digest.update(&(bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
}

type Rows = Arc<Vec<Vec<Cell>>>;

/// A table whose rows are read from the first to the last.
struct Reading {
    table: &'static str,
    key: &'static [&'static str],
    columns: Arc<[String]>,
    after: Option<Vec<Cell>>,
    rows: u64,
    digest: Context,
}

impl Reading {
    async fn of<B: Backend>(store: &B, table: &'static str, key: &'static [&'static str]) -> Result<Self, Error> {
        let columns = store.in_snapshot(move |conn| columns(conn, table)).await?;
        Ok(Self { table, key, columns: columns.into(), after: None, rows: 0, digest: Context::new(&SHA256) })
    }

    async fn next<B: Backend>(&mut self, store: &B) -> Result<Rows, Error> {
        let sql = self.sql();
        let (width, after) = (self.columns.len(), self.after.clone().unwrap_or_default());
        let rows = store
            .in_snapshot(move |conn| {
                let read = |row: &Row<'_>| (0..width).map(|place| row.column(place).map(Cell::of)).collect();
                let rows = conn.prepare_cached(&sql)?.query_map(after.as_slice(), read)?;
                Ok(rows.collect::<Result<Vec<Vec<Cell>>, _>>()?)
            })
            .await?;
        for cell in rows.iter().flatten() {
            cell.add_to(&mut self.digest);
        }
        self.rows += rows.len() as u64;
        if let Some(last) = rows.last() {
            let place = |name: &&str| self.columns.iter().position(|column| column == name);
            self.after = Some(self.key.iter().filter_map(place).map(|place| last[place].clone()).collect());
        }
        Ok(Arc::new(rows))
    }

    fn sql(&self) -> String {
        let mut conditions: Vec<String> = (self.table == "meta").then(|| OWN.to_owned()).into_iter().collect();
        let key = self.key.join(", ");
        if self.after.is_some() {
            let places: Vec<String> = (1..=self.key.len()).map(|place| format!("?{place}")).collect();
            conditions.push(format!("({key}) > ({})", places.join(", ")));
        }
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        format!("SELECT {} FROM {}{filter} ORDER BY {key} LIMIT {PAGE}", quoted(&self.columns), self.table)
    }

    fn ended(self) -> Copied {
        Copied { table: self.table, rows: self.rows, sha256: hex::encode(self.digest.finish()) }
    }
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

const COLUMNS: &str = "SELECT name FROM pragma_table_info(?1) ORDER BY name";
const COLUMNS_ON_SERVER: &str = "SELECT CAST(column_name AS TEXT) COLLATE \"C\" FROM information_schema.columns \
     WHERE table_schema = current_schema() AND table_name = ?1 ORDER BY 1";

fn columns(conn: &Connection<'_>, table: &str) -> Result<Vec<String>, Error> {
    let mut statement = conn.prepare_cached(conn.pick(COLUMNS, COLUMNS_ON_SERVER))?;
    Ok(statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn insert(conn: &Connection<'_>, table: &str, columns: &[String], rows: &[Vec<Cell>]) -> Result<(), Error> {
    for some in rows.chunks((VALUES / columns.len()).max(1)) {
        let mut place = 0;
        let groups: Vec<String> = some
            .iter()
            .map(|row| {
                let places: Vec<String> = row
                    .iter()
                    .map(|_| {
                        place += 1;
                        format!("?{place}")
                    })
                    .collect();
                format!("({})", places.join(", "))
            })
            .collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES {}", quoted(columns), groups.join(", "));
        let values: Vec<&Cell> = some.iter().flatten().collect();
        conn.prepare_cached(&sql)?.execute(values.as_slice())?;
    }
    Ok(())
}

/// Where the numbers of new rows go on.
fn go_on_counting(conn: &Connection<'_>) -> Result<(), Error> {
    if let Connection::Postgres(_) = conn {
        for (table, key) in TABLES {
            if key == ["id"] && !matches!(table, "disputes" | "accounts") {
                conn.batch(&format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce((SELECT max(id) FROM {table}), 0) + 1, false)"
                ))?;
            }
        }
    }
    Ok(())
}

fn check_empty(conn: &Connection<'_>) -> Result<(), Error> {
    for table in tables().filter(|table| *table != "meta") {
        if conn.prepare_cached(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists(())? {
            return Err(Error::Illegal(format!("there are {table} where the data is to go: it has to be empty")));
        }
    }
    Ok(())
}

const ALL: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
const ALL_ON_SERVER: &str = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()";

/// A table that is not known here would be left behind.
fn check_known(conn: &Connection<'_>) -> Result<(), Error> {
    let mut statement = conn.prepare_cached(conn.pick(ALL, ALL_ON_SERVER))?;
    for table in statement.query_map((), |row| row.get::<String>(0))? {
        let table = table?;
        if !tables().any(|known| known == table) {
            return Err(Error::Illegal(format!("it has a table {table}, which would not be moved")));
        }
    }
    Ok(())
}

/// Closes `from`, moves everything to `to`, which has to be empty, and reads it back. `to` is open for use afterwards,
/// `from` is not. Where that fails `from` is opened again, and `to` stays closed.
pub async fn copy<A: Backend, B: Backend>(
    from: (&A, &str),
    to: (&B, &str),
    mut told: impl FnMut(&Copied),
) -> Result<Vec<Copied>, Error> {
    from.0.in_snapshot(check_known).await?;
    to.0.in_snapshot(check_empty).await?;
    fence::filling(to.0, Some(from.1)).await?;
    fence::close(from.0, to.1).await?;
    let outcome = move_all(from.0, to.0, &mut told).await;
    match outcome {
        Ok(copied) => {
            // Whoever opened it meanwhile may have written what was not read: it stays the one in use.
            if !fence::is_moved(from.0, to.1).await? {
                return Err(Error::Illegal(format!(
                    "{} was opened again while it was copied and is the one in use: {} is not to be used, copy again to an empty one",
                    from.1, to.1
                )));
            }
            fence::filling(to.0, None).await?;
            Ok(copied)
        }
        Err(error) => {
            fence::reopen(from.0).await?;
            Err(error)
        }
    }
}

async fn move_all<A: Backend, B: Backend>(
    from: &A,
    to: &B,
    told: &mut impl FnMut(&Copied),
) -> Result<Vec<Copied>, Error> {
    let mut sent = Vec::new();
    for (table, key) in TABLES {
        let mut reading = Reading::of(from, table, key).await?;
        let theirs = to.in_snapshot(move |conn| columns(conn, table)).await?;
        if *reading.columns != *theirs {
            return Err(Error::Illegal(format!(
                "{table} is not the same on both sides: bring both to one schema first"
            )));
        }
        loop {
            let rows = reading.next(from).await?;
            if rows.is_empty() {
                break;
            }
            let columns = Arc::clone(&reading.columns);
            to.in_transaction(move |conn| insert(conn, table, &columns, &rows)).await?;
        }
        sent.push(reading.ended());
    }
    to.in_transaction(go_on_counting).await?;
    for (known, (table, key)) in sent.iter().zip(TABLES) {
        let mut reading = Reading::of(to, table, key).await?;
        while !reading.next(to).await?.is_empty() {}
        let arrived = reading.ended();
        if arrived != *known {
            return Err(Error::Corrupt(format!("{table} did not arrive as it was: {arrived:?} is not {known:?}")));
        }
        told(known);
    }
    Ok(sent)
}
