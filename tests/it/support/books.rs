//! The tables of a store, looked at and changed as nothing of ours would.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::support::cluster::{Cluster, Lent};

pub(crate) enum Books {
    File(PathBuf),
    Server(&'static Cluster, String),
}

impl Books {
    pub(crate) fn of(lent: Option<&Lent>, file: &Path) -> Self {
        lent.map_or_else(|| Self::File(file.to_owned()), Lent::books)
    }

    /// Runs statements; what the database has against them otherwise.
    pub(crate) fn run(&self, sql: &str) -> Result<(), String> {
        match self {
            Self::File(file) => Connection::open(file).unwrap().execute_batch(sql).map_err(|error| error.to_string()),
            Self::Server(cluster, name) => cluster.run(name, sql).map(|_| ()),
        }
    }

    /// The first column of each row.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        match self {
            Self::File(file) => {
                let file = Connection::open(file).unwrap();
                let mut rows = file.prepare(sql).unwrap();
                let first = |row: &rusqlite::Row<'_>| match row.get(0)? {
                    Value::Text(text) => Ok(text),
                    Value::Integer(number) => Ok(number.to_string()),
                    other => panic!("{other:?}"),
                };
                rows.query_map([], first).unwrap().map(Result::unwrap).collect()
            }
            Self::Server(cluster, name) => cluster.run(name, sql).unwrap().lines().map(str::to_owned).collect(),
        }
    }

    /// The one number that a query answers with.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.rows(sql)[0].parse().unwrap()
    }

    /// Keeps a copy of all there is, for `put_back`.
    pub(crate) fn keep(&self) {
        match self {
            Self::File(file) => {
                self.run("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
                std::fs::copy(file, file.with_extension("kept")).unwrap();
            }
            Self::Server(cluster, name) => {
                let copy = format!("CREATE DATABASE {name}_kept TEMPLATE {name}");
                cluster.run("postgres", &copy).unwrap();
            }
        }
    }

    /// Has all be as it was kept; nobody may be at work.
    pub(crate) fn put_back(&self) {
        match self {
            Self::File(file) => {
                for suffix in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
                }
                std::fs::copy(file.with_extension("kept"), file).unwrap();
            }
            Self::Server(cluster, name) => {
                cluster.run("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
                cluster.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {name}_kept")).unwrap();
            }
        }
    }

    /// Takes out what keeps an act from being altered.
    pub(crate) fn let_acts_change(&self) {
        let table = if matches!(self, Self::Server(..)) { " ON acts" } else { "" };
        self.run(&format!("DROP TRIGGER acts_never_change{table}")).unwrap();
    }
}
