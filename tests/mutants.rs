//! The checker is checked: with any one safeguard taken out, the simulation finds a broken rule.

use discuno::mutant::Mutant;
use discuno::sim::Campaign;
use discuno::sim::script::Scope;

/// Within so many seeds.
const SEEDS: u64 = 2000;
/// From this one on, where most is played.
const FIRST: u64 = 90_000;

#[test]
fn whatever_safeguard_is_taken_out_the_simulation_sees_it() {
    let mut unseen = Vec::new();
    for &mutant in Mutant::ALL {
        let scope = Scope { mutant: Some(mutant), ..Scope::default() };
        let campaign = Campaign { first: FIRST, seeds: Some(SEEDS), time: None, scope, threads: 2 };
        match campaign.run().failed {
            Some((seed, violation)) => println!("{mutant:<22} seed {seed:>5}  {violation}"),
            None => unseen.push(mutant),
        }
    }
    assert!(unseen.is_empty(), "not seen within {SEEDS} seeds: {unseen:?}");
}
