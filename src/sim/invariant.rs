//! What must hold once everything has come to its end: the database against the ledgers of the providers. What must hold at
//! every moment is watched where it happens, in [`hub`](crate::sim::hub).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::registry::Workflow;
use crate::model::act;
use crate::model::case::CaseKind;
use crate::model::checkout::Checkout;
use crate::model::dispute::DisputeStatus;
use crate::model::event::Disposition;
use crate::model::id::EventId;
use crate::model::payment::{Payment, PaymentStatus};
use crate::model::refund::RefundOrigin;
use crate::model::run::{Run, RunState};
use crate::model::time::Timestamp;
use crate::sandbox::fault::Effect;
use crate::sandbox::ledger::{Booking, Exchange, Ledger, PaymentIntent, Refund, Transfer};
use crate::sim::excuse::{Topic, is_let_stand, is_told, is_told_of_dispute, is_told_of_second};
use crate::sim::hub::{Hub, lock};
use crate::sim::purchase::Order;
use crate::sim::report::Violation;
use crate::sim::script::Act;
use crate::sim::world::{BEGINNING, World};
use crate::sim::{agreement, bounds};
use crate::store::filter::Filter;
use crate::store::{Story, Subject};
use crate::workflow::calendar::BookingCreated;
use crate::workflow::checkout::ProcessCheckout;
use crate::workflow::{alert, apply_event, settle, transfer};

/// More than any history makes.
pub(super) const ALL: u32 = 100_000;

/// Holds everything against everything.
pub(super) async fn check(world: &World) {
    let theirs = world.hub.sandbox.ledger();
    let found = match compare(world, &theirs).await {
        Ok(found) => found,
        Err(error) => return world.hub.breaks("harness", format!("the store cannot be read: {error}")),
    };
    count_faults(&world.hub, &theirs);
    if let Some(Violation { rule, why }) = found {
        world.hub.breaks(rule, why);
    }
}

async fn compare(world: &World, theirs: &Ledger) -> Result<Option<Violation>, crate::store::error::Error> {
    let store = &world.store;
    let mut rules = Rules::default();
    let mut kept = BTreeSet::new();
    let mut told: BTreeMap<_, Vec<EventId>> = BTreeMap::new();
    for event in store.events(Filter::newest(ALL)).await? {
        if event.livemode {
            // Live money at a deployment for tests.
            let alone = event.disposition == Disposition::Quarantined && event.payment.is_none();
            let idle = alone && store.story(Subject::Event(event.id)).await?.runs.is_empty();
            world.hub.count(|| "event/of the other mode".to_owned());
            rules.hold("M10", idle, || format!("{} is live, and was acted on", event.external_id));
        }
        told.entry((event.source.as_str(), event.kind, event.created_at)).or_default().push(event.id);
        kept.insert((event.source.as_str(), event.external_id));
    }
    for events in told.into_values().filter(|events| events.len() > 1) {
        let mut bodies = BTreeSet::new();
        for event in events {
            let body = store.body(event).await?;
            rules.hold("I6", bodies.insert(body), || format!("{event} is kept twice"));
        }
    }
    for acknowledged in lock(&world.hub.acknowledged).iter() {
        rules.hold("I1", kept.contains(acknowledged), || format!("{acknowledged:?} was acknowledged and is not kept"));
    }
    if let Some(act) = store.broken_act().await? {
        rules.hold("I16", false, || format!("the audit trail breaks at {act}"));
    }
    for line in store.runs(Filter { status: vec![RunState::Failed.to_string()], ..Filter::newest(ALL) }).await? {
        let drifted = line.run.failure.as_ref().is_some_and(|failure| failure.code == "nondeterminism");
        let unfit = world.deployed && line.run.workflow == ProcessCheckout::NAME;
        rules.hold("I15", !drifted || unfit, || format!("{} does not repeat itself", line.run.id));
    }
    let items = &world.script.items;
    let skewed = items.iter().any(|item| matches!(item.act, Act::Skew { .. }));
    let alerts: String = theirs.alerts.posts.iter().map(|post| post.body.to_string()).collect();
    for order in &world.orders {
        let payment = match store.resolve_whole(&order.session).await {
            Ok(Subject::Payment(payment)) => Some(payment),
            _ => None,
        };
        let intent = theirs.stripe.payment_intents.iter().find(|intent| intent.id == order.intent);
        let taken = intent.is_some_and(|intent| intent.charge.is_some());
        let Some(payment) = payment else {
            rules.hold("I1b", !taken, || format!("{} is paid and not known here", order.session));
            continue;
        };
        let story = store.story(Subject::Payment(payment)).await?;
        let Some(payment) = &story.payment else { continue };
        count_ends(&world.hub, payment, &story);
        let moved = lock(&world.hub.ends).moved_back(&story.refunds);
        rules.hold("I20", moved.is_none(), || moved.unwrap_or_default());
        rules.hold("M10", !payment.livemode, || format!("{} is live", payment.id));
        rules.hold("I7", !story.events.is_empty(), || format!("{} came of no event", payment.id));
        for (run, attempts) in &story.runs {
            // What a person orders is tried at once.
            let number = order.purchase.number;
            let at_once = items.iter().any(|item| matches!(item.act, Act::Order(of, _) if of == number));
            bounds::tries(run, attempts, !skewed && !at_once, &mut rules);
        }
        bounds::silence(order, &story, &alerts, &mut rules);
        let disputes = lock(&world.hub.disputes);
        Matter { order, payment, story: &story, intent, theirs, disputes: &disputes }.check(&mut rules);
    }
    requests(theirs, &mut rules);
    agreement::counted_once(theirs, &mut rules);
    if let Some(database) = &world.database {
        bounds::database(world.script.seed, database, (kept.len(), world.elapsed()), &mut rules)?;
    }
    Ok(rules.0)
}

/// The rules, held against facts. The first that does not hold is kept.
#[derive(Default)]
pub(super) struct Rules(Option<Violation>);

impl Rules {
    pub(super) fn hold(&mut self, rule: &'static str, holds: bool, why: impl FnOnce() -> String) {
        if !holds && self.0.is_none() {
            self.0 = Some(Violation { rule, why: why() });
        }
    }
}

/// One purchase: what we know of it, and what they do.
pub(super) struct Matter<'a> {
    pub(super) order: &'a Order,
    pub(super) payment: &'a Payment,
    pub(super) story: &'a Story,
    pub(super) intent: Option<&'a PaymentIntent>,
    pub(super) theirs: &'a Ledger,
    pub(super) disputes: &'a [(String, Timestamp, bool)],
}

impl Matter<'_> {
    fn check(&self, rules: &mut Rules) {
        money(self.payment, self.story, self.theirs, rules);
        self.refunds(rules);
        self.disputes(rules);
        self.shares(rules);
        self.share_moves(rules);
        self.calendar(rules);
        self.called_off(rules);
        self.letters(rules);
        self.compensation(rules);
        for (run, _) in &self.story.runs {
            let told = self.story.cases.iter().any(|case| case.run == Some(run.id));
            let silent = run.state == RunState::Failed && run.workflow != alert::Alert::NAME && !told;
            rules.hold("I14", !silent, || format!("{} failed, and nobody was told", run.id));
        }
    }

    /// I3, I11.
    fn refunds(&self, rules: &mut Rules) {
        let mut marks: BTreeMap<&str, u32> = BTreeMap::new();
        for refund in self.theirs.stripe.refunds.iter().filter(|refund| refund.payment_intent == self.order.intent) {
            let Some(mark) = refund.metadata.get("discunoRefund") else { continue };
            rules.hold("M4", self.story.refunds.iter().any(|ours| &ours.reference == mark), || {
                format!("{} was asked for and not recorded before", refund.id)
            });
            if refund.counts() {
                *marks.entry(mark).or_default() += 1;
                let share = self.intent.is_some_and(|intent| intent.transfer.is_some());
                let told = is_told(self.story, Topic::Share, refund.created);
                rules.hold("I11", !share || refund.transfer_reversed > 0 || told, || {
                    format!("{} left the share with the mentor, and nobody was told", refund.id)
                });
            }
        }
        let (mut ordered, mut held) = (BTreeSet::new(), 0);
        for refund in self.story.refunds.iter().filter(|refund| refund.status.holds_money()) {
            held += refund.amount.minor;
            // All that is left may be as much as a part was before.
            let is_first = refund.origin != RefundOrigin::Operator || ordered.insert(refund.amount.minor);
            rules.hold("I3", is_first || held == self.payment.amount.minor, || {
                format!("{} is a second one of {}, and nobody asked for another", refund.id, refund.amount)
            });
        }
        for (mark, times) in marks {
            rules.hold("I3", times <= 1, || format!("{mark} was paid back {times} times"));
        }
    }

    /// I12: nothing is paid back by itself while the charge is disputed, but for what was asked for before it was. A person knows of
    /// what is disputed.
    fn disputes(&self, rules: &mut Rules) {
        let open = self.story.disputes.iter().filter(|dispute| dispute.status == DisputeStatus::Open);
        for dispute in open {
            rules.hold("I12", is_told_of_dispute(self.story, dispute), || {
                format!("{} is open, and nobody was told", dispute.id)
            });
        }
        let by_itself = |mark: &str| {
            let mut refunds = self.story.refunds.iter();
            refunds.any(|refund| refund.reference == mark && refund.origin == RefundOrigin::Workflow)
        };
        let asked = self.theirs.stripe.requests.iter().filter(|exchange| {
            let late = matches!(exchange.effect, Some(Effect::Slow { .. }));
            exchange.method == "POST" && !late && exchange.path.starts_with("/refunds")
        });
        for exchange in asked {
            let given = |name: &str| given(exchange, name).unwrap_or_default();
            if given("payment_intent") != self.order.intent || !by_itself(&given("metadata[discunoRefund]")) {
                continue;
            }
            let before = |at: Timestamp| {
                self.disputes.iter().rfind(|(intent, since, _)| intent == &self.order.intent && *since < at)
            };
            let is_open = |at| before(at).is_some_and(|(.., open)| *open);
            let open = is_open(exchange.at.minus(UNDER_WAY)) && is_open(exchange.at);
            rules.hold("I12", !open, || format!("{} was asked for while the charge was disputed", exchange.body));
        }
    }

    /// M9, I10, I11.
    fn shares(&self, rules: &mut Rules) {
        let mark = |transfer: &Transfer| transfer.metadata.get("discunoTransfer").cloned().unwrap_or_default();
        let transfers = self.theirs.stripe.transfers.iter();
        let ours = transfers.filter(|transfer| mark(transfer).split('/').next() == Some(&self.order.intent));
        let refunds = self.theirs.stripe.refunds.iter();
        let refunds: Vec<&Refund> =
            refunds.filter(|refund| refund.payment_intent == self.order.intent && refund.counts()).collect();
        let back: i64 = refunds.iter().map(|refund| refund.amount).sum();
        let mut made = 0;
        let mut runs = self.story.runs.iter().filter(|(run, _)| run.workflow == transfer::NAME);
        let at_rest = runs.all(|(run, _)| matches!(run.state, RunState::Succeeded | RunState::Failed));
        let cases = || self.story.cases.iter();
        let unclear =
            cases().any(|case| case.kind == CaseKind::TransferBlocked && case.summary.contains("may or may not"));
        for transfer in ours {
            made += 1;
            let known = self.story.transfers.iter().any(|ours| ours.stripe_transfer_id.as_ref() == Some(&transfer.id));
            rules.hold("I10", known || !at_rest || unclear, || {
                format!("{} was made, and nobody here knows", transfer.id)
            });
            let last = refunds.iter().map(|refund| refund.created).max().unwrap_or(transfer.created);
            let told = unclear || is_told(self.story, Topic::Share, last);
            let due = transfer.amount * back / self.payment.amount.minor.max(1);
            rules.hold("I11", transfer.amount_reversed >= due || told, || {
                format!("{due} of {} is to be taken back from the mentor, and nobody was told", transfer.id)
            });
            // What was asked for before comes all the same, however much later.
            let asked = self.asked_at(&mark(transfer)).unwrap_or(transfer.created);
            if let Some(refund) = refunds.iter().find(|refund| refund.created < asked.minus(GRACE)) {
                rules.hold("M9", false, || format!("{} was made after {} was paid back", transfer.id, refund.id));
            }
        }
        rules.hold("M9", made <= 1, || format!("the share of {} was moved {made} times", self.order.intent));
    }

    /// When a transfer was asked for that Stripe took its time for.
    fn asked_at(&self, mark: &str) -> Option<Timestamp> {
        self.theirs.stripe.requests.iter().find_map(|exchange| match exchange.effect {
            Some(Effect::Slow { millis }) if given(exchange, "metadata[discunoTransfer]").as_deref() == Some(mark) => {
                Some(exchange.at.minus(Duration::from_millis(millis)))
            }
            _ => None,
        })
    }

    /// I21: compensation is never decided while Cal.com holds a booking that a look before it could have seen.
    fn compensation(&self, rules: &mut Rules) {
        let refunds = self.story.refunds.iter();
        for refund in refunds.filter(|refund| refund.origin == RefundOrigin::Workflow) {
            if refund.reason != "the session could not be booked" {
                continue;
            }
            let decided = refund.created_at;
            let looked = self.last_look(decided);
            let reference = self.order.reference();
            let seen = self.theirs.cal.bookings.iter().filter(|booking| made_for(booking, reference)).find(|booking| {
                let stood = booking.cancelled_at.is_none_or(|at| at > decided) && booking.created_at < decided;
                stood && looked.is_none_or(|looked| booking.created_at <= looked)
            });
            if let Some(booking) = seen {
                rules.hold("I21", false, || {
                    format!(
                        "{} was decided at {decided} while {} stood since {}",
                        refund.id, booking.uid, booking.created_at
                    )
                });
            }
        }
    }

    /// When Cal.com was last asked for the bookings of this slot, and answered.
    fn last_look(&self, before: Timestamp) -> Option<Timestamp> {
        let wanted = self.payment.checkout.as_ref()?;
        let looks =
            self.theirs.cal.requests.iter().filter(|exchange| exchange.method == "GET" && exchange.at <= before);
        looks
            .filter(|exchange| exchange.status == Some(200) && asks_for(exchange, wanted))
            .filter(|exchange| !matches!(exchange.effect, Some(Effect::Behind { .. })))
            .map(|exchange| exchange.at)
            .max()
    }
}

/// Between a look at a charge and the arrival of what was asked for on it.
const UNDER_WAY: Duration = Duration::from_secs(30);

/// Between a look and what is done on it.
const GRACE: Duration = Duration::from_secs(2);

fn asks_for(exchange: &Exchange, wanted: &Checkout) -> bool {
    let Some((_, query)) = exchange.path.split_once('?') else { return false };
    let given: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let instant = |name: &str| given.get(name).and_then(|text| text.parse::<Timestamp>().ok());
    given.get("eventTypeId").is_some_and(|kind| *kind == wanted.event_type_id.to_string())
        && instant("afterStart").is_some_and(|after| after <= wanted.start)
        && instant("beforeEnd").is_some_and(|before| before >= wanted.start)
}

pub(super) fn made_for(booking: &Booking, reference: &str) -> bool {
    booking.metadata.get("paymentId").is_some_and(|id| id == reference)
}

/// The first of the rules for money that does not hold for a payment at rest.
pub fn money_violation(payment: &Payment, story: &Story, theirs: &Ledger) -> Option<Violation> {
    let mut rules = Rules::default();
    money(payment, story, theirs, &mut rules);
    rules.0
}

/// A person may pay back, or pay back the rest, and let the session take place; but not where it was to be called off as well.
fn is_left(story: &Story) -> bool {
    if has_called_off(story) {
        return false;
    }
    let holding = story.refunds.iter().filter(|refund| refund.status.holds_money());
    holding.max_by_key(|refund| refund.id).is_none_or(|last| last.origin == RefundOrigin::Operator)
}

/// A person may call the session off with a part of the money, and keep the rest. What came to nothing calls nothing off.
fn has_called_off(story: &Story) -> bool {
    let came_through = |act: &&act::Act| {
        let run = story.runs.iter().map(|(run, _)| run).find(|run| act.after["run"] == run.id.to_string());
        let is_given_up = |run: &Run| {
            matches!(run.state, RunState::Failed | RunState::Cancelled) || run.outcome.as_deref() == Some("case_opened")
        };
        let late = format!("late/{}", act.after["refund"].as_str().unwrap_or_default());
        let carried_on = || story.runs.iter().any(|(run, _)| run.key == late && !is_given_up(run));
        let given_up = run.is_some_and(is_given_up) && !carried_on();
        let ended = run.and_then(|run| run.finished_at).unwrap_or(act.at);
        // Nor what was agreed on after that.
        let agreed_on = story.bookings.iter().any(|booking| booking.created_at > ended);
        let mut holding = story.refunds.iter().filter(|refund| refund.status.is_accepted());
        !given_up && !agreed_on && holding.any(|refund| act.after["refund"] == refund.id.to_string())
    };
    story.acts.iter().filter(|act| act.calls_off()).any(|act| came_through(&act))
}

/// M2, M3, M7, M8: a payment has come to a right end: one live booking, a full refund, or a case that a person was told of.
fn money(payment: &Payment, story: &Story, theirs: &Ledger, rules: &mut Rules) {
    let reference = payment.reference();
    // Unless a person says that it takes place, or took place, all the same.
    let stood = is_let_stand(story);
    let standing: Vec<&Booking> = theirs
        .cal
        .bookings
        .iter()
        .filter(|booking| booking.status == "accepted" && (stood || !booking.host_absent))
        .filter(|booking| {
            story.bookings.iter().any(|ours| ours.facts.uid == booking.uid) || made_for(booking, reference)
        })
        .collect();
    let live = standing.len();
    // What was over when the refund was heard of has taken place, and is no contradiction.
    let heard = story.refunds.iter().filter(|refund| refund.status.holds_money()).map(|refund| refund.created_at).max();
    let on_purpose = is_left(story) || stood;
    let contradicts = !on_purpose && standing.iter().any(|booking| heard.is_none_or(|heard| booking.start > heard));
    let refunded = payment.payment_intent.as_deref().map_or(0, |intent| theirs.stripe.refunded(intent));
    let booked = standing.iter().map(|booking| booking.created_at).max().unwrap_or(BEGINNING);
    let sessions_told = is_told(story, Topic::Sessions, heard.map_or(booked, |heard| heard.max(booked)));
    let back = theirs.stripe.refunds.iter().filter(|refund| refund.payment_intent == reference);
    let settled = story.refunds.iter().filter_map(|refund| refund.settled_at);
    let last = back.map(|refund| refund.created).chain(settled).max().unwrap_or(BEGINNING);
    let money_told = is_told(story, Topic::Money, last);
    let (id, status, paid) = (payment.id, payment.status, payment.amount.minor);
    let ours: i64 = story
        .refunds
        .iter()
        .filter(|refund| refund.stripe_refund_id.is_some() && refund.status.holds_money())
        .map(|refund| refund.amount.minor)
        .sum();
    // Wherever one of them is moved after that.
    let made = standing.iter().filter(|booking| booking.rescheduled_from.is_none()).map(|booking| booking.created_at);
    let twice_told =
        is_told(story, Topic::Sessions, booked) || is_told_of_second(story, made.max().unwrap_or(BEGINNING));
    rules.hold("M2", live <= 1 || twice_told, || format!("{id} ({status}) has {live} live bookings"));
    rules.hold("M3", refunded <= paid, || format!("{id} ({status}): {refunded} of {paid} is paid back"));
    rules.hold("M2", !contradicts || refunded < paid || sessions_told || paid == 0, || {
        format!("{id} ({status}) is booked and refunded")
    });
    rules.hold("I10", money_told || ours == refunded, || format!("{id} ({status}): ours {ours}, theirs {refunded}"));
    match status {
        PaymentStatus::Booked => {
            let free = payment.payment_intent.is_none();
            let decided = || has_called_off(story);
            rules.hold("M2", live >= 1 || sessions_told || money_told || free || decided(), || {
                format!("{id} is booked and no session stands")
            });
        }
        PaymentStatus::Refunded | PaymentStatus::Refunding => {
            rules.hold("M2", sessions_told || !contradicts, || format!("{id} is {status} and the session stands"));
            rules.hold("M2", money_told || refunded == paid, || {
                format!("{id} is {status} and {refunded} of {paid} is back")
            });
        }
        PaymentStatus::Attention => {
            // What a person has settled, and then paid back themselves, stays where it is; what fails after that does not.
            let at_stripe = story.refunds.iter().filter(|refund| refund.stripe_refund_id.is_some());
            let failed = at_stripe.filter(|refund| !refund.status.holds_money());
            let since = failed.filter_map(|refund| refund.settled_at).max().unwrap_or(BEGINNING);
            // Nor does what becomes of the session after that.
            let known = |booking: &&Booking| story.bookings.iter().any(|ours| ours.facts.uid == booking.uid);
            let gone = theirs.cal.bookings.iter().filter(known).filter(|booking| booking.rescheduled_to.is_none());
            let ended = gone.filter_map(|booking| booking.cancelled_at).max();
            // Of a free one nobody has to settle anything.
            let ended = ended.filter(|_| payment.payment_intent.is_some() && !has_called_off(story));
            let ended = ended.unwrap_or(BEGINNING);
            let about = heard.map_or(booked, |heard| heard.max(booked)).max(ended);
            let told = is_told(story, Topic::Sessions, about) || is_told(story, Topic::Money, since.max(ended));
            rules.hold("M2", told, || format!("{id} needs attention and nobody was told"));
        }
        PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Awaiting => {
            // A free session that was given up may stand where nobody but a person could call it off.
            let free = payment.payment_intent.is_none() && sessions_told;
            let mut intents = theirs.stripe.payment_intents.iter();
            let taken =
                intents.any(|intent| Some(&intent.id) == payment.payment_intent.as_ref() && intent.charge.is_some());
            rules.hold("M2", !taken || money_told, || format!("{id} is {status} and its money is at Stripe"));
            rules.hold("M7", (live, refunded) == (0, 0) || free, || {
                format!("{id} is {status}: {live} bookings, {refunded} back")
            });
        }
        PaymentStatus::Paid => rules.hold("M2", false, || format!("{id} has no end")),
    }
}

/// A field of a form.
fn given<'a>(exchange: &'a Exchange, name: &str) -> Option<Cow<'a, str>> {
    url::form_urlencoded::parse(exchange.body.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// M6, I18: what was asked of Stripe.
fn requests(theirs: &Ledger, rules: &mut Rules) {
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    for exchange in theirs.stripe.requests.iter().filter(|exchange| exchange.method == "POST") {
        let Some(key) = exchange.idempotency_key.as_deref() else {
            rules.hold("M4", false, || format!("POST {} without a key", exchange.path));
            continue;
        };
        let first = bodies.entry(key).or_insert(&exchange.body);
        rules.hold("I18", *first == exchange.body, || format!("{key} carries two bodies"));
        let given = |name: &str| given(exchange, name);
        let Some(intent) = given("payment_intent") else { continue };
        let Some(intent) = theirs.stripe.payment_intents.iter().find(|known| known.id == intent) else { continue };
        let fits = given("refund_application_fee").is_none() || intent.application_fee_amount.is_some();
        rules.hold("M6", fits, || format!("a fee is to be refunded that {} does not have", intent.id));
        let fits = given("reverse_transfer").is_none() || intent.transfer.is_some();
        rules.hold("M6", fits, || format!("a share is to be taken back that {} did not move", intent.id));
    }
}

/// Ends of runs that have mended what went wrong elsewhere: a rise hides a fault of the engine.
const REPAIRS: [(&str, &str); 3] = [
    (settle::NAME, "late_booking_cancelled"),
    (BookingCreated::NAME, "late_booking_cancelled"),
    (apply_event::ApplyEvent::NAME, "applied"),
];

fn count_ends(hub: &Hub, payment: &Payment, story: &Story) {
    hub.note(|| format!("end of {}: {}", payment.session_id, payment.status));
    hub.count(|| format!("end/{}", payment.status));
    for (run, _) in &story.runs {
        let end = run.outcome.clone().unwrap_or_else(|| run.state.to_string());
        hub.note(|| format!("  {} {} {}: {end}", run.id, run.workflow, run.key));
        hub.count(|| format!("run/{} {end}", run.workflow));
        if REPAIRS.contains(&(run.workflow.as_str(), end.as_str())) {
            hub.count(|| format!("repair/{} {end}", run.workflow));
        }
    }
    for refund in &story.refunds {
        hub.note(|| format!("  {} of {}: {}", refund.id, refund.amount, refund.status));
        hub.count(|| format!("refund/{} {}", refund.origin, refund.status));
    }
    for case in &story.cases {
        hub.note(|| format!("  {} {}: {} ({})", case.id, case.kind, case.status, case.summary));
        hub.count(|| format!("case/{} {}", case.kind, case.status));
        // Where a person paid back and let the session stand, there is nothing to mend.
        if case.kind == CaseKind::Unaccounted && !is_left(story) {
            hub.count(|| format!("repair/reconcile {}", case.cause.split('/').nth(1).unwrap_or_default()));
        }
    }
}

/// Which faults have struck which operations.
fn count_faults(hub: &Hub, theirs: &Ledger) {
    let logs = [
        ("stripe", &theirs.stripe.requests),
        ("cal", &theirs.cal.requests),
        ("posthog", &theirs.posthog.requests),
        ("mail", &theirs.mail.requests),
        ("alert", &theirs.alerts.requests),
    ];
    let mut coverage = lock(&hub.coverage);
    for (provider, log) in logs {
        coverage.add(&format!("calls/{provider}"), log.len() as u64);
        for exchange in log.iter().filter(|exchange| exchange.effect.is_some()) {
            let Some(effect) = &exchange.effect else { continue };
            coverage.count(format!("fault/{} {}", effect.name(), operation(provider, exchange)));
        }
        for exchange in log.iter().filter(|exchange| exchange.replayed) {
            coverage.count(format!("replayed/{}", exchange.status.unwrap_or(0)));
        }
    }
}

/// What was asked for, by the name that faults are drawn for.
fn operation(provider: &str, exchange: &Exchange) -> String {
    let path = exchange.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let act = match (provider, exchange.method.as_str(), parts.as_slice()) {
        ("posthog", ..) => return "capture".to_owned(),
        ("mail", ..) => return "emails.send".to_owned(),
        ("alert", ..) => return "alerts.post".to_owned(),
        (_, "GET", [_]) => "list",
        (_, "GET", [_, _]) => "get",
        ("cal", "POST", [_, _, "mark-absent"]) => "mark_absent",
        (_, "POST", [_, _, act]) => act,
        _ => "create",
    };
    format!("{}.{act}", parts.first().copied().unwrap_or_default())
}
