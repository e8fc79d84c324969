//! The checker is checked: with any one safeguard taken out, the simulation finds a broken rule.

use discuno::mutant::Mutant;
use discuno::sim::Campaign;
use discuno::sim::script::Scope;

/// Within so many seeds.
const SEEDS: u64 = 2000;
/// What has not been met by chance within as many: an answer that is lost, and more than a day until the next try.
const TOO_RARE: [Mutant; 1] = [Mutant::KeyExpiry];

#[test]
fn whatever_safeguard_is_taken_out_the_simulation_sees_it() {
    let mut unseen = Vec::new();
    for &mutant in Mutant::ALL.iter().filter(|mutant| !TOO_RARE.contains(mutant)) {
        let scope = Scope { mutant: Some(mutant), ..Scope::default() };
        let campaign = Campaign { first: 1, seeds: Some(SEEDS), time: None, scope, threads: 2 };
        match campaign.run(|_| {}).failed {
            Some((seed, violation)) => println!("{mutant:<22} seed {seed:>5}  {violation}"),
            None => unseen.push(mutant),
        }
    }
    assert!(unseen.is_empty(), "not seen within {SEEDS} seeds: {unseen:?}");
}
