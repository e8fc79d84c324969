//! The power goes, or writes fail, while a database of an earlier version is upgraded.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use discuno::store::sqlite::{Mode, Sqlite, file};
use discuno_vfs::{Break, Disk, Geometry, Kind, Loss, Outage};
use rusqlite::Connection;

use crate::{GEOMETRIES, Machine, on_every_core, stride};

const GEOMETRY: Geometry = GEOMETRIES[0];
/// So many operations are the end of an upgrade.
const END: usize = 10;

/// Every version that there is a database of.
pub(crate) fn versions() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/databases");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let packed = files.filter(|path| path.extension().is_some_and(|extension| extension == "gz"));
    let unpacked = packed.map(|path| {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), bytes)
    });
    let mut unpacked: Vec<_> = unpacked.collect();
    unpacked.sort();
    unpacked
}

/// Where it is struck: from time to time while the upgrade is under way, of which nothing is kept unless all of it is, and at each
/// operation of its end, where it comes to be.
fn places(operations: usize) -> Vec<usize> {
    assert!(operations > 2 * END, "{operations} operations");
    let end = operations - END;
    (0..end).step_by(stride(80).max(20)).chain(end..operations).collect()
}

/// A machine with a database of these bytes on its disk.
fn with_file(bytes: &[u8]) -> (Machine, Disk) {
    let machine = Machine::new();
    let disk = Disk::new(GEOMETRY, BTreeMap::from([(machine.db(), bytes.to_vec())]));
    machine.insert(&disk);
    (machine, disk)
}

/// How many rows each table has, and which version the schema is of.
fn held(db: &Path) -> (i64, BTreeMap<String, i64>) {
    let file = Connection::open(db).unwrap();
    let number = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let mut tables = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows = tables.into_iter().map(|table| {
        let rows = number(&format!("SELECT count(*) FROM {table}"));
        (table, rows)
    });
    (number("PRAGMA user_version"), rows.filter(|(_, rows)| *rows > 0).collect())
}

/// What is wrong once a program has come again: nothing, if it has the schema of today and every row.
fn wrong(machine: &Machine, rows: &BTreeMap<String, i64>, today: i64) -> Vec<String> {
    let before = held(&machine.db());
    let mut wrong = Vec::new();
    if before.1 != *rows {
        wrong.push(format!("before it was opened again there was {before:?}"));
    }
    if let Err(error) = Sqlite::open(&machine.db(), Mode::Inline, "test") {
        return vec![format!("it cannot be opened: {error}")];
    }
    match file::check(&machine.db()) {
        Ok(found) => wrong.extend(found),
        Err(error) => wrong.push(error.to_string()),
    }
    let after = held(&machine.db());
    if after != (today, rows.clone()) {
        wrong.push(format!("there is {after:?}"));
    }
    wrong
}

fn today() -> i64 {
    let machine = Machine::with(&Disk::new(GEOMETRY, BTreeMap::new()));
    drop(Sqlite::open(&machine.db(), Mode::Inline, "test").unwrap());
    held(&machine.db()).0
}

#[test]
fn an_upgrade_that_is_cut_off_anywhere_is_done_again_and_loses_nothing() {
    let today = today();
    for (name, bytes) in versions() {
        let (machine, disk) = with_file(&bytes);
        let (from, rows) = held(&machine.db());
        assert!(from < today && !rows.is_empty(), "{name}");
        drop(Sqlite::open(&machine.db(), Mode::Inline, "test").unwrap());
        let places = places(Outage::of(&disk, false).operations() + 1);
        on_every_core(places.len(), |number| {
            let mut outage = Outage::of(&disk, false);
            outage.advance_to(places[number]);
            for loss in [Loss::Dropped, Loss::Kept, Loss::Torn] {
                let machine = Machine::new();
                machine.insert(&Disk::new(GEOMETRY, machine.renamed(outage.files(loss, 0))));
                let wrong = wrong(&machine, &rows, today);
                assert!(wrong.is_empty(), "{name}, cut before operation {}, {loss:?}: {wrong:#?}", places[number]);
            }
        });
        println!("{name}: {} places", places.len());
    }
}

#[test]
fn an_upgrade_whose_writes_fail_changes_nothing_and_is_done_again() {
    let today = today();
    for (name, bytes) in versions() {
        let (machine, disk) = with_file(&bytes);
        let (_, rows) = held(&machine.db());
        drop(Sqlite::open(&machine.db(), Mode::Inline, "test").unwrap());
        let breaks: Vec<Break> = places(disk.attempts())
            .into_iter()
            .flat_map(|at| [Kind::Io, Kind::Full].map(|kind| Break { at, kind, lasting: kind == Kind::Full }))
            .collect();
        on_every_core(breaks.len(), |number| {
            let (machine, disk) = with_file(&bytes);
            disk.fail(Some(breaks[number]));
            let opened = Sqlite::open(&machine.db(), Mode::Inline, "test").map(drop);
            disk.fail(None);
            let wrong = wrong(&machine, &rows, today);
            assert!(wrong.is_empty(), "{name}, {:?}, answered {opened:?}: {wrong:#?}", breaks[number]);
        });
        println!("{name}: {} failures", breaks.len());
    }
}
