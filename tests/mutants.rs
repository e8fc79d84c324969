//! The checker is checked: with any one safeguard taken out, the simulation finds a broken rule.

use discuno::mutant::Mutant;
use discuno::sim::Campaign;
use discuno::sim::script::Scope;

/// Within so many seeds.
const SEEDS: u64 = 2000;
/// From one of these on: what was thought of later is played by later seeds alone.
const FIRST: [u64; 2] = [2000, 90_000];

#[test]
fn whatever_safeguard_is_taken_out_the_simulation_sees_it() {
    let mut unseen = Vec::new();
    for &mutant in Mutant::ALL {
        let scope = Scope { mutant: Some(mutant), ..Scope::default() };
        let mut campaigns =
            FIRST.map(|first| Campaign { first, seeds: Some(SEEDS), time: None, scope, threads: 2 }).into_iter();
        match campaigns.find_map(|campaign| campaign.run().failed) {
            Some((seed, violation)) => println!("{mutant:<22} seed {seed:>5}  {violation}"),
            None => unseen.push(mutant),
        }
    }
    assert!(unseen.is_empty(), "not seen within {SEEDS} seeds: {unseen:?}");
}
