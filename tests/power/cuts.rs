//! The power goes at any moment.

use std::sync::atomic::{AtomicUsize, Ordering};

use discuno::store::sqlite::Mode;
use discuno_vfs::{Disk, Geometry, Loss, Outage};
use tokio::time::Instant;

use crate::promises::{Promise, broken};
use crate::workloads::Workload;
use crate::{GEOMETRIES, Machine, block_on, made, on_every_core, stride};

/// Does the work, and keeps the record of the disk.
fn recorded(workload: Workload, geometry: Geometry, mode: Mode) -> (Disk, Vec<Promise>) {
    let machine = Machine::new();
    let disk = Disk::new(geometry, machine.renamed(made(geometry)));
    machine.insert(&disk);
    let store = machine.store(mode).unwrap();
    let work = block_on(workload.run(&store, &disk, &machine.db()));
    assert!(work.refused.is_empty(), "{workload:?}: {:?}", work.refused);
    (disk, work.promises)
}

/// Cuts the power at every operation, in every `stride`th way of losing what was not synced, beginning with the one that this
/// `turn` comes to; how often, and what was wrong.
fn cut_everywhere(
    disk: &Disk,
    promises: &[Promise],
    geometry: Geometry,
    turn: usize,
    lies: bool,
) -> (usize, Vec<String>) {
    let stride = stride(25);
    let (cuts, wrong) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let operations = Outage::of(disk, lies).operations();
    // One stretch of the record at a time, so that each core goes forward only.
    let stretch = 64 * stride;
    on_every_core(operations.div_ceil(stretch), |number| {
        let mut outage = Outage::of(disk, lies);
        let machine = Machine::new();
        for at in number * stretch..operations.min((number + 1) * stretch) {
            // The plainest way is tried at each, unless few are asked for.
            let is_tried =
                |way: &usize| (at + way + turn).is_multiple_of(stride) || (*way == 0 && stride < Loss::ALL.len());
            let ways: Vec<usize> = (0..Loss::ALL.len()).filter(is_tried).collect();
            if ways.is_empty() {
                continue;
            }
            outage.advance_to(at);
            let promised: Vec<_> =
                promises.iter().filter(|promise| promise.after <= at).map(|promise| &promise.kept).collect();
            for loss in ways.into_iter().map(|way| Loss::ALL[way]) {
                machine.insert(&Disk::new(geometry, machine.renamed(outage.files(loss, 0))));
                let found = broken(&machine, &promised);
                cuts.fetch_add(1, Ordering::Relaxed);
                if !found.is_empty() {
                    wrong.lock().unwrap().push(format!("cut before operation {at}, {loss:?}: {found:?}"));
                }
            }
        }
    });
    (cuts.into_inner(), wrong.into_inner().unwrap())
}

#[test]
fn no_acknowledged_row_is_lost_wherever_the_power_goes() {
    let (began, mut total) = (Instant::now(), 0);
    for (nth, geometry) in GEOMETRIES.into_iter().enumerate() {
        for workload in Workload::ALL {
            for (turn, mode) in [Mode::Inline, Mode::Threads].into_iter().enumerate() {
                let (disk, promises) = recorded(workload, geometry, mode);
                let (cuts, wrong) = cut_everywhere(&disk, &promises, geometry, nth + turn, false);
                println!("{geometry:?} {workload:?} {mode:?}: {} promises, {cuts} cuts", promises.len());
                assert!(wrong.is_empty(), "{geometry:?} {workload:?} {mode:?}: {:#?}", &wrong[..wrong.len().min(5)]);
                total += cuts;
            }
        }
    }
    println!("{total} power cuts in {:?}, nothing lost", began.elapsed());
}

#[test]
fn a_disk_that_lies_about_syncing_is_found_out() {
    let geometry = GEOMETRIES[0];
    for workload in Workload::ALL {
        let (disk, promises) = recorded(workload, geometry, Mode::Inline);
        let (cuts, wrong) = cut_everywhere(&disk, &promises, geometry, 0, true);
        println!("{workload:?}: {} of {cuts} cuts lost something", wrong.len());
        assert!(wrong.len() * 4 > cuts, "{workload:?}: only {} of {cuts} cuts show it", wrong.len());
    }
}
