//! A bit is another one: of the database, or of its log.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use discuno::store::error::Error;
use discuno::store::filter::Filter;
use discuno::store::sqlite::{Mode, Sqlite, file};
use discuno::store::{Lists, Subject, Views};
use discuno_vfs::{Disk, Files};
use fastrand::Rng;
use rusqlite::{Connection, Row};
use tokio::time::Instant;

use crate::upgrades::versions;
use crate::{GEOMETRIES, Machine, block_on, on_every_core, stride};

/// No look at a damaged file takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What people are told of the money: each payment, with its refunds and bookings.
type Told = BTreeMap<i64, String>;

fn told(machine: &Machine) -> Result<Told, Error> {
    let store = Sqlite::open(&machine.db(), Mode::Inline, "test")?;
    let mut told = Told::new();
    for line in block_on(store.payments(Filter::newest(1000)))? {
        let story = block_on(store.story(Subject::Payment(line.payment.id)))?;
        let refunds: Vec<_> = story.refunds.iter().map(|refund| (refund.id, refund.status, refund.amount)).collect();
        let bookings: Vec<_> =
            story.bookings.iter().map(|booking| (&booking.facts.uid, booking.facts.status)).collect();
        let payment = &line.payment;
        let paid = (&payment.session_id, &payment.payment_intent, payment.amount, payment.status);
        told.insert(payment.id.0, format!("{paid:?} {refunds:?} {bookings:?}"));
    }
    Ok(told)
}

/// A lively database.
struct Lively {
    files: Files,
    truth: Told,
    /// The bytes of it that are worth most: where the pages are, and how large, that hold money.
    money: (Vec<usize>, usize),
}

/// What there is of it is in the file, or the newest of it in the log.
fn lively(in_log: bool) -> Lively {
    let machine = Machine::new();
    let (_, bytes) = versions().pop().unwrap();
    let disk = Disk::new(GEOMETRIES[0], BTreeMap::from([(machine.db(), bytes)]));
    machine.insert(&disk);
    let truth = told(&machine).unwrap();
    assert!(truth.len() > 10, "{truth:?}");
    let file = Connection::open(machine.db()).unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    if in_log {
        file.execute_batch("UPDATE payments SET updated_at = updated_at + 1").unwrap();
    }
    let number = |row: &Row<'_>| row.get::<_, u32>(0).map(|number| number as usize);
    let size = file.query_row("PRAGMA page_size", [], number).unwrap();
    let pages = "SELECT pageno FROM dbstat WHERE name IN ('payments', 'refunds', 'bookings')";
    let mut pages = file.prepare(pages).unwrap();
    let pages = pages.query_map([], number).unwrap().map(|page| (page.unwrap() - 1) * size).collect();
    Lively { files: disk.files(), truth, money: (pages, size) }
}

/// What came of it.
#[derive(Debug, Default)]
struct Seen {
    /// The same as before was told.
    harmless: AtomicUsize,
    /// It could not be opened or read.
    refused: AtomicUsize,
    /// Something else was told, and `discuno db check` says what is wrong.
    found: AtomicUsize,
}

/// Every third is of a page that holds money, the others are of anything.
fn flipped(lively: &Lively, seed: usize) -> (Files, String) {
    let mut chance = Rng::with_seed(seed as u64);
    let mut files = lively.files.clone();
    let sizes: usize = files.values().map(Vec::len).sum();
    let (pages, size) = &lively.money;
    // The database is the first of the files.
    let mut at = match seed % 3 {
        0 => pages[chance.usize(..pages.len())] + chance.usize(..*size),
        _ => chance.usize(..sizes),
    };
    let bit = chance.u8(..8);
    let mut context = String::new();
    for (name, bytes) in &mut files {
        if at < bytes.len() {
            bytes[at] ^= 1 << bit;
            context = format!("seed {seed}, bit {bit} of byte {at} of {}", name.display());
            break;
        }
        at -= bytes.len();
    }
    (files, context)
}

#[test]
fn a_flipped_bit_is_no_other_money_and_nobody_trips_over_it() {
    let (began, flips) = (Instant::now(), 2000);
    for in_log in [false, true] {
        let lively = lively(in_log);
        let truth = &lively.truth;
        let (seen, silent) = (Seen::default(), Mutex::new(Vec::new()));
        let seeds: Vec<usize> = (0..flips).step_by(stride(10)).collect();
        on_every_core(seeds.len(), |number| {
            let (damaged, context) = flipped(&lively, seeds[number]);
            let machine = Machine::new();
            machine.insert(&Disk::new(GEOMETRIES[0], machine.renamed(damaged)));
            let start = Instant::now();
            let looked = catch_unwind(AssertUnwindSafe(|| (told(&machine), file::check(&machine.db()))));
            let (told, checked) = looked.unwrap_or_else(|_| panic!("{context}: it panics"));
            assert!(start.elapsed() < PATIENCE, "{context}: it took {:?}", start.elapsed());
            let is_whole = checked.as_ref().is_ok_and(Vec::is_empty);
            let count = match told {
                Ok(told) if told == *truth => &seen.harmless,
                Ok(_) if !is_whole => &seen.found,
                Err(_) => &seen.refused,
                Ok(told) => {
                    let other: Vec<_> = told.iter().filter(|(id, line)| truth.get(id) != Some(line)).collect();
                    silent.lock().unwrap().push(format!("{context}: {other:?}"));
                    return;
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
        let silent = silent.into_inner().unwrap();
        println!("in the log {in_log}: {seen:?}, {} silent", silent.len());
        assert!(silent.is_empty(), "nobody notices: {silent:#?}");
    }
    println!("{:?}", began.elapsed());
}
