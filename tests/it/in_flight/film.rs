//! What was recorded: how the rows of a database came to be, what providers were asked for, and where a run was cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use discuno::model::time::Timestamp;
use discuno::sandbox::fault::Fault;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// After so many rounds, what is done again and again brings nothing new.
const ROUNDS: u32 = 3;

/// What follows what.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The schema that the program had.
    Made { version: i64, schema: Vec<String> },
    /// Another story begins, in a database and with providers of its own.
    Way { name: String, refund_called_off: bool },
    /// A request has left for a provider.
    Asked(Asked),
    /// Something happened at a provider, of which we were not told.
    Unheard { at: i64, event: String },
    /// A provider gives trouble from now on.
    Trouble { at: i64, fault: Fault },
    /// Rows that are gone, and that have come, as statements.
    Rows { gone: Vec<String>, new: Vec<String> },
    /// The process is gone.
    Cut { at: i64, run: i64, workflow: String, stage: String, end: String },
}

/// A request as it left.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) at: i64,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Lines, in the making or as they were kept.
pub(crate) struct Film(Mutex<Reel>);

#[derive(Default)]
struct Reel {
    lines: Vec<Line>,
    /// How far runs had come that were cut there before.
    known: BTreeSet<String>,
    rows: BTreeSet<String>,
}

/// What is no request of ours.
#[derive(Clone)]
pub(crate) enum Happening {
    /// What a webhook told, or would have.
    Event(Vec<u8>),
    Trouble(Fault),
}

/// A moment: the database and the providers as they were.
pub(crate) struct Cut {
    pub(crate) way: String,
    pub(crate) refund_called_off: bool,
    pub(crate) version: i64,
    pub(crate) schema: Vec<String>,
    pub(crate) rows: BTreeSet<String>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) happened: Vec<(i64, Happening)>,
    pub(crate) at: Timestamp,
    pub(crate) run: i64,
    pub(crate) stage: String,
    pub(crate) end: String,
}

impl Film {
    pub(crate) fn new(known: BTreeSet<String>) -> Self {
        Self(Mutex::new(Reel { known, ..Reel::default() }))
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.reel().lines.clone()
    }

    /// A story begins in this database.
    pub(crate) fn begin(&self, name: &str, refund_called_off: bool, db: &Path) {
        let file = Connection::open(db).unwrap();
        let mut reel = self.reel();
        if reel.lines.is_empty() {
            let version = file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            reel.lines.push(Line::Made { version, schema: schema(&file) });
        }
        reel.lines.push(Line::Way { name: name.to_owned(), refund_called_off });
        reel.rows.clear();
    }

    pub(crate) fn push(&self, line: Line) {
        self.reel().lines.push(line);
    }

    /// A run has come this far. It is cut here unless one was before.
    pub(crate) fn cut(&self, run: i64, verb: &str, at: Timestamp, db: &Path) {
        let file = Connection::open(db).unwrap();
        let (workflow, stage) = stage(&file, run, verb);
        let mut reel = self.reel();
        if round(&stage) > ROUNDS || !reel.known.insert(stage.clone()) {
            return;
        }
        let now = rows(&file);
        let gone = reel.rows.difference(&now).cloned().collect();
        let new = now.difference(&reel.rows).cloned().collect();
        reel.rows = now;
        reel.lines.push(Line::Rows { gone, new });
        reel.lines.push(Line::Cut { at: at.0, run, workflow, stage, end: String::new() });
    }

    /// The story is over: it is known how its runs have ended.
    pub(crate) fn end(&self, db: &Path) {
        let file = Connection::open(db).unwrap();
        let state = |run: i64| {
            let sql = "SELECT state || ' ' || coalesce(outcome, '') FROM runs WHERE id = ?1";
            file.query_row(sql, [run], |row| row.get::<_, String>(0)).unwrap()
        };
        for line in self.reel().lines.iter_mut().rev().take_while(|line| !matches!(line, Line::Way { .. })) {
            if let Line::Cut { run, stage, end, .. } = line {
                *end = state(*run);
                assert!(!end.starts_with("queued") && !end.starts_with("running"), "{stage}: {end}");
            }
        }
    }
}

/// The files there are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/in_flight")
}

/// What a program of a version recorded.
pub(crate) struct Kept(Vec<Line>);

/// All that was ever recorded, by the names of the files.
pub(crate) fn load() -> Vec<(String, Kept)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
        let lines = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        (path.file_name().unwrap().to_string_lossy().into_owned(), Kept(lines))
    };
    files.iter().map(read).collect()
}

/// Keeps a recording; one that is there is never changed.
pub(crate) fn save(name: &str, lines: &[Line]) {
    let to = File::create_new(folder().join(format!("{name}.jsonl.gz"))).unwrap();
    let mut packed = GzEncoder::new(to, Compression::best());
    for line in lines {
        serde_json::to_writer(&mut packed, line).unwrap();
        packed.write_all(b"\n").unwrap();
    }
    packed.finish().unwrap();
}

impl Kept {
    pub(crate) fn workflows(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|line| match line {
            Line::Cut { workflow, .. } => Some(workflow.as_str()),
            _ => None,
        })
    }

    pub(crate) fn stages(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|line| match line {
            Line::Cut { stage, .. } => Some(stage.as_str()),
            _ => None,
        })
    }

    /// Every moment at which a run was cut.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = Cut> {
        let (mut made, mut way) = ((0, Vec::new()), (String::new(), false));
        let (mut rows, mut asked, mut happened) = (BTreeSet::new(), Vec::new(), Vec::new());
        self.0.iter().filter_map(move |line| {
            match line.clone() {
                Line::Made { version, schema } => made = (version, schema),
                Line::Way { name, refund_called_off } => {
                    way = (name, refund_called_off);
                    (rows, asked, happened) = (BTreeSet::new(), Vec::new(), Vec::new());
                }
                Line::Asked(request) => asked.push(request),
                Line::Unheard { at, event } => happened.push((at, Happening::Event(event.into_bytes()))),
                Line::Trouble { at, fault } => happened.push((at, Happening::Trouble(fault))),
                Line::Rows { gone, new } => {
                    rows.retain(|row| !gone.contains(row));
                    rows.extend(new);
                }
                Line::Cut { at, run, stage, end, .. } => {
                    return Some(Cut {
                        way: way.0.clone(),
                        refund_called_off: way.1,
                        version: made.0,
                        schema: made.1.clone(),
                        rows: rows.clone(),
                        asked: asked.clone(),
                        happened: happened.clone(),
                        at: Timestamp(at),
                        run,
                        stage,
                        end,
                    });
                }
            }
            None
        })
    }
}

impl Cut {
    /// Makes the database as it was.
    pub(crate) fn make(&self, db: &Path) {
        let file = Connection::open(db).unwrap();
        let is_table = |sql: &&String| sql.starts_with("CREATE TABLE");
        let tables = self.schema.iter().filter(is_table);
        // What watches over changes comes when they have been made.
        let others = self.schema.iter().filter(|sql| !is_table(sql));
        let all: Vec<&str> = tables.chain(&self.rows).chain(others).map(String::as_str).collect();
        file.execute_batch(&format!("PRAGMA foreign_keys = OFF; BEGIN; {}; COMMIT", all.join(";\n"))).unwrap();
        file.pragma_update(None, "user_version", self.version).unwrap();
    }
}

fn texts(file: &Connection, sql: &str) -> Vec<String> {
    let mut found = file.prepare(sql).unwrap();
    found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn schema(file: &Connection) -> Vec<String> {
    texts(file, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
}

/// Every row of every table, as the statement that makes it.
fn rows(file: &Connection) -> BTreeSet<String> {
    let tables = texts(file, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    let of = |table: &String| {
        let columns = texts(file, &format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
        let values = columns.join(" || ',' || ");
        texts(file, &format!("SELECT 'INSERT INTO {table} VALUES (' || {values} || ')' FROM {table}"))
    };
    tables.iter().flat_map(of).collect()
}

/// How often the last step came before, as its name tells.
fn round(stage: &str) -> u32 {
    let last = stage.rsplit(", ").next().and_then(|last| last.split(' ').next());
    last.and_then(|step| step.rsplit(':').next()?.parse().ok()).unwrap_or(0)
}

/// The run's workflow, and what tells how far it has come: its tries so far, and what it has written since.
fn stage(file: &Connection, run: i64, verb: &str) -> (String, String) {
    let sql = "SELECT workflow FROM runs WHERE id = ?1";
    let workflow: String = file.query_row(sql, [run], |row| row.get(0)).unwrap();
    let tries = texts(file, &format!("SELECT step || ' ' || outcome FROM attempts WHERE run_id = {run} ORDER BY seq"));
    let within = if matches!(verb, "record" | "suspend") { String::new() } else { format!(", {verb}") };
    (workflow.clone(), format!("{workflow}: {}{within}", tries.join(", ")))
}
