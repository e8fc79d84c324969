//! The checker is checked: with any one safeguard taken out, the simulation finds a broken rule.

use discuno::mutant::Mutant;
use discuno::sim::Campaign;
use discuno::sim::script::Scope;

/// Within so many seeds.
const SEEDS: u64 = 2000;
/// From one of these on: what was thought of later is played by later seeds alone.
const FIRST: [u64; 2] = [2000, 90_000];
/// From so many of the one it goes to as many of the other.
const TURN: usize = 100;

#[test]
fn whatever_safeguard_is_taken_out_the_simulation_sees_it() {
    let mut unseen = Vec::new();
    for &mutant in Mutant::ALL {
        let scope = Scope { mutant: Some(mutant), ..Scope::default() };
        let turns = (0..SEEDS).step_by(TURN).flat_map(|turn| FIRST.map(|first| first + turn));
        let mut campaigns =
            turns.map(|first| Campaign { first, seeds: Some(TURN as u64), time: None, scope, threads: 2 });
        match campaigns.find_map(|campaign| campaign.run().failed) {
            Some((seed, violation)) => println!("{mutant:<22} seed {seed:>5}  {violation}"),
            None => unseen.push(mutant),
        }
    }
    assert!(unseen.is_empty(), "not seen within {SEEDS} seeds: {unseen:?}");
}
