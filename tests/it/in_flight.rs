//! Runs that an earlier program left behind after each of their steps are carried on by this one.
//!
//! `tests/fixtures/in_flight` holds, for each way that a story can go, what was in the database whenever a run had recorded a step, and
//! what the providers had been asked for by then. Nothing in there is ever changed: databases like these are in use. Whoever adds a
//! workflow, or a way that runs of one can go, records what is new of it into another file of the name given:
//!
//! `DISCUNO_RECORD=v7 cargo test --test it in_flight::record`

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::in_flight::carry_on::carried_on;
use crate::in_flight::film::{Film, load, save};
use crate::in_flight::ways::ways;
use crate::support::cluster::is_without_files;

mod camera;
mod carry_on;
mod film;
mod ways;

/// So many go on side by side.
const PARTS: usize = 4;

async fn part(number: usize) {
    if is_without_files() {
        return;
    }
    let mut seen = 0;
    for (_, film) in load() {
        for cut in film.cuts().skip(number).step_by(PARTS) {
            carried_on(&cut).await;
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} runs were carried on");
}

macro_rules! parts {
    ($($name:ident $number:literal)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            part($number).await;
        }
    )*};
}

parts! {
    cut_after_any_step_a_run_goes_on_to_a_right_end_1 0
    cut_after_any_step_a_run_goes_on_to_a_right_end_2 1
    cut_after_any_step_a_run_goes_on_to_a_right_end_3 2
    cut_after_any_step_a_run_goes_on_to_a_right_end_4 3
}

#[test]
fn runs_of_every_workflow_were_cut() {
    let films = load();
    let cut: BTreeSet<&str> = films.iter().flat_map(|(_, film)| film.workflows()).collect();
    let missing: Vec<&str> = discuno::workflow::NAMES.into_iter().filter(|name| !cut.contains(name)).collect();
    assert!(missing.is_empty(), "of these no run was recorded: {missing:?}; the file of this test says how");
}

#[tokio::test(start_paused = true)]
async fn record() {
    let Ok(name) = std::env::var("DISCUNO_RECORD") else { return };
    let known = load().iter().flat_map(|(_, film)| film.stages().map(str::to_owned)).collect();
    let film = Arc::new(Film::new(known));
    for way in ways() {
        camera::record(&film, &way).await;
    }
    save(&name, &film.lines());
}
