//! The ways that a purchase can go, each as a script in which nothing is left to chance.

use std::time::Duration;

use crate::sandbox::fault::{Effect, Fault, Provider};
use crate::sim::script::{Act, Command, Deed, Item, Paid, Purchase, Script, Sweep, Weather};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn purchase(tags: &[&'static str]) -> Purchase {
    Purchase { number: 0, paid: Paid::AtOnce, tags: tags.to_vec(), fee: false, ahead: 5 * HOUR }
}

fn at(minute: u64, act: Act) -> Item {
    Item { at: minute * MINUTE, act }
}

/// A history with one process in which nothing else goes wrong.
fn script(purchase: Purchase, more: Vec<Item>) -> Script {
    let mut items = vec![at(1, Act::Buy(purchase))];
    items.extend(more);
    items.sort_by_key(|item| item.at);
    let sweep = Sweep {
        settle_for: Duration::from_hours(2),
        dispute_period: Duration::from_hours(1),
        refund_called_off: true,
        ..Sweep::default()
    };
    Script { seed: 7, calm_at: 12 * HOUR, weather: Weather::Fair, processes: 1, sweep, items }
}

fn happens(minute: u64, deed: Deed) -> Item {
    at(minute, Act::Happen(0, deed))
}

fn fails(provider: Provider, operation: &str, effect: Effect, times: u32) -> Item {
    at(0, Act::Fault(Fault::new(provider, effect).on(operation).times(times)))
}

/// The five ways that a purchase mostly goes.
pub(super) fn main_paths() -> Vec<(&'static str, Script)> {
    let lost = |operation| fails(Provider::Cal, operation, Effect::DropAfter, 1);
    vec![
        ("booked", script(purchase(&[]), Vec::new())),
        ("refunded", script(purchase(&["cal-refused"]), Vec::new())),
        ("booked, the answer lost", script(purchase(&[]), vec![lost("bookings.create")])),
        ("refund pending, then paid", {
            script(purchase(&["cal-refused", "refund-pending"]), vec![happens(30, Deed::RefundSettles)])
        }),
        ("refunded by an operator", {
            script(purchase(&[]), vec![at(10, Act::Order(0, Command::Refund { cancel_booking: true }))])
        }),
    ]
}

/// Every other workflow. Together with the main paths these come to each that there is, which [`crash`](crate::sim::crash) holds.
pub(super) fn other_paths() -> Vec<(&'static str, Script)> {
    let drop_refund = fails(Provider::Stripe, "refunds.create", Effect::DropAfter, 1);
    let silent = fails(Provider::Cal, "bookings.create", Effect::Slow { millis: 20 * MINUTE }, 9);
    let paid = |how| Purchase { paid: how, ..purchase(&[]) };
    vec![
        ("refund refused", script(purchase(&["cal-refused", "refund-refused"]), Vec::new())),
        ("refunded, the answer lost", script(purchase(&["cal-refused"]), vec![drop_refund])),
        ("refund fails later", script(purchase(&["cal-refused"]), vec![happens(30, Deed::RefundFails)])),
        ("booked after it was given up", script(purchase(&[]), vec![silent])),
        ("paid later", script(paid(Paid::Later(HOUR)), Vec::new())),
        ("never paid", script(paid(Paid::Never(HOUR)), Vec::new())),
        ("free", script(paid(Paid::Free), Vec::new())),
        ("unusable", script(paid(Paid::Unusable), Vec::new())),
        ("cancelled by the application", script(purchase(&[]), vec![happens(1, Deed::CheckoutCancelled)])),
        ("called off by the mentor", script(purchase(&[]), vec![happens(20, Deed::MentorCancels)])),
        ("declined", script(purchase(&[]), vec![happens(20, Deed::MentorDeclines)])),
        ("moved", script(purchase(&[]), vec![happens(20, Deed::Rescheduled)])),
        ("met", script(purchase(&[]), vec![happens(301, Deed::Begins), happens(331, Deed::Ends)])),
        ("mentor absent", script(purchase(&[]), vec![happens(320, Deed::HostAbsent)])),
        ("disputed and won", script(purchase(&[]), vec![happens(20, Deed::Disputed), happens(60, Deed::DisputeWon)])),
        ("refunded in the dashboard", {
            script(purchase(&[]), vec![happens(20, Deed::RefundedInDashboard { amount: 5000 })])
        }),
        ("share moved", script(purchase(&["share-later"]), Vec::new())),
        ("a part refunded, then called off", {
            let part = at(10, Act::Order(0, Command::RefundPart { amount: 1500, cancel_booking: false }));
            script(purchase(&[]), vec![part, happens(20, Deed::MentorCancels)])
        }),
        ("lost and fetched", fetched(19, vec![deaf(88, Provider::Cal), happens(90, Deed::MentorCancels)])),
        ("moved twice, the first move unheard, and refunded in the dashboard", {
            let moves = [happens(90, Deed::Rescheduled), happens(100, Deed::Rescheduled)];
            let refunded = happens(110, Deed::RefundedInDashboard { amount: 5000 });
            fetched(3, [deaf(88, Provider::Cal), refunded].into_iter().chain(moves).collect())
        }),
        ("refunded in the dashboard before it was known", {
            fetched(1, vec![happens(6, Deed::RefundedInDashboard { amount: 5000 })])
        }),
        ("the mentor paid out, the customer new", {
            let told = [(10, Deed::AccountTold), (20, Deed::PaidOut), (30, Deed::PayoutFails), (40, Deed::SignedUp)];
            let mut told: Vec<Item> = told.map(|(minute, deed)| happens(minute, deed)).into();
            told.push(at(50, Act::TestAlert));
            script(purchase(&[]), told)
        }),
    ]
}

fn deaf(minute: u64, provider: Provider) -> Item {
    at(minute, Act::Deaf(provider, 5 * MINUTE))
}

/// Stripe's word that it is paid is lost, and the schedules run for so many hours: through the night, or until it is fetched.
fn fetched(hours: u64, mut more: Vec<Item>) -> Script {
    more.push(deaf(0, Provider::Stripe));
    let mut script = script(purchase(&[]), more);
    script.sweep.schedules = true;
    script.calm_at = hours * HOUR;
    script
}
