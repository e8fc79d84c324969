//! Writes and syncs fail, once or from then on.

use std::time::Duration;

use discuno::store::Shared;
use discuno::store::sqlite::Mode;
use discuno_vfs::{Break, Disk, Kind, Loss, Outage};
use tokio::time::Instant;

use crate::conformance::NOW;
use crate::promises::{Kept, broken, is_there};
use crate::workloads::Workload;
use crate::{GEOMETRIES, Machine, block_on, made, on_every_core, stride, subjects};

const KINDS: [Kind; 3] = [Kind::Io, Kind::Full, Kind::Short];

#[test]
fn what_fails_is_not_acknowledged_and_the_store_mends_itself() {
    let (began, geometry) = (Instant::now(), GEOMETRIES[0]);
    let files = made(geometry);
    let mut total = 0;
    for workload in Workload::ALL {
        let machine = Machine::new();
        let disk = Disk::new(geometry, machine.renamed(files.clone()));
        machine.insert(&disk);
        let store = machine.store(Mode::Threads).unwrap();
        block_on(workload.run(&store, &disk, &machine.db()));
        let operations = disk.attempts();
        let ways: Vec<_> = [false, true].into_iter().flat_map(|lasting| KINDS.map(|kind| (kind, lasting))).collect();
        let stride = stride(25);
        let breaks: Vec<Break> = (0..operations)
            .flat_map(|at| {
                let tried = ways.iter().enumerate().filter(move |(way, _)| (at + way).is_multiple_of(stride));
                tried.map(move |(_, &(kind, lasting))| Break { at, kind, lasting })
            })
            .collect();
        on_every_core(breaks.len(), |number| {
            let machine = Machine::new();
            let disk = Disk::new(geometry, machine.renamed(files.clone()));
            break_and_mend(&machine, &disk, workload, breaks[number]);
        });
        total += breaks.len();
    }
    println!("{total} failures in {:?}, nothing acknowledged lost", began.elapsed());
}

fn break_and_mend(machine: &Machine, disk: &Disk, workload: Workload, fails: Break) {
    machine.insert(disk);
    disk.fail(Some(fails));
    // One that cannot even start has promised nothing, and starts once it can.
    let Ok(store) = machine.store(Mode::Threads) else {
        disk.fail(None);
        assert_eq!(broken(machine, &[]), Vec::<String>::new(), "{workload:?} {fails:?}: it could not start");
        return;
    };
    let mut work = block_on(workload.run(&store, disk, &machine.db()));
    disk.fail(None);
    work.promises.push(mended(&store, disk, &format!("{workload:?} {fails:?}")));
    let promised: Vec<&Kept> = work.promises.iter().map(|promise| &promise.kept).collect();

    let file = rusqlite::Connection::open(machine.db()).unwrap();
    for refused in &work.refused {
        assert!(!is_there(&file, refused).unwrap(), "{workload:?} {fails:?}: {refused:?} was refused and is there");
    }
    drop((file, store));
    let mut outage = Outage::of(disk, false);
    outage.advance_to(outage.operations());
    for loss in [Loss::Dropped, Loss::Torn] {
        // Elsewhere, since the threads of the store may still be at their end there.
        let other = Machine::new();
        other.insert(&Disk::new(GEOMETRIES[0], other.renamed(outage.files(loss, 1))));
        let found = broken(&other, &promised);
        assert!(found.is_empty(), "{workload:?} {fails:?}, then {loss:?}: {found:#?}");
    }
}

/// The same store, without a restart, takes an arrival again.
fn mended(store: &Shared, disk: &Disk, context: &str) -> crate::promises::Promise {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = block_on(store.ingest(subjects::paid("paid_mended"), NOW));
        match answer {
            Ok(_) => {
                let kept = Kept::Arrival("paid_mended".to_owned());
                return crate::promises::Promise { kept, after: disk.recorded() };
            }
            Err(error) => assert!(Instant::now() < deadline, "{context}: it does not mend itself: {error}"),
        }
    }
}
