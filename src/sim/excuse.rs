//! What a person knows of a payment. A rule that does not hold is excused only by a case that says so: one that is open, or that was
//! settled by hand since it came about.

use crate::model::case::{Case, CaseKind, Resolution};
use crate::model::dispute::Dispute;
use crate::model::time::Timestamp;
use crate::sim::world::BEGINNING;
use crate::store::Story;

/// What a case says of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Which sessions stand for it is not as it should be, or not known.
    Sessions,
    /// How much of it is back is not as it should be, or not known.
    Money,
    /// The mentor has more of it than they should.
    Share,
}

impl Topic {
    /// A run that failed, or was cancelled, while no money hung on it says nothing.
    fn is_of(self, case: &Case) -> bool {
        match case.kind {
            CaseKind::RunFailed | CaseKind::RunCancelled => self != Self::Share && case.at_risk.is_some(),
            CaseKind::BookingUnclear | CaseKind::Unaccounted | CaseKind::SessionCancelled | CaseKind::HostNoShow => {
                self != Self::Share
            }
            CaseKind::BookingAfterRefund | CaseKind::SecondBooking => self == Self::Sessions,
            CaseKind::UnusableCheckout | CaseKind::RefundFailed | CaseKind::Disputed | CaseKind::Contradiction => {
                self == Self::Money
            }
            CaseKind::TransferNotReversed => self == Self::Share,
            CaseKind::TransferBlocked | CaseKind::PayoutFailed => false,
        }
    }
}

/// Whether a person was told of `topic` and has still to settle it, or has settled it by hand since `since`.
pub(super) fn is_told(story: &Story, topic: Topic, since: Timestamp) -> bool {
    story
        .cases
        .iter()
        .filter(|case| topic.is_of(case))
        .any(|case| is_known(case, since, &[Resolution::SettledElsewhere]))
}

/// Whether a person was told of a case and has still to settle it, or has settled it since `since` by one of these words.
fn is_known(case: &Case, since: Timestamp, words: &[Resolution]) -> bool {
    match case.closed_at {
        None => case.alerted_at.is_some(),
        Some(at) => at >= since && words.iter().any(|word| case.is_settled_as(*word)),
    }
}

/// What a person may say of what stands as it is.
const LEFT: [Resolution; 2] = [Resolution::Booked, Resolution::SettledElsewhere];

/// Whether a person was told that nobody moves the share, and has said anything of it.
pub(super) fn is_told_of_kept_share(story: &Story) -> bool {
    let mut about = story.cases.iter().filter(|case| case.kind == CaseKind::TransferBlocked);
    about.any(|case| is_known(case, BEGINNING, &LEFT))
}

/// A person has said that the session takes place, or took place, all the same, and that of the last of which nobody could tell.
pub(super) fn is_let_stand(story: &Story) -> bool {
    let mut about = story.cases.iter().filter(|case| !case.kind.is_about_share());
    let asked =
        story.cases.iter().filter(|case| matches!(case.kind, CaseKind::HostNoShow | CaseKind::SessionCancelled));
    let last = asked.map(|case| case.id).max();
    about.any(|case| case.is_settled_as(Resolution::Booked) && Some(case.id) >= last)
}

/// Whether a person was told of a second session that was made at `made`, wherever it was moved to after that, and has said anything of it.
pub(super) fn is_told_of_second(story: &Story, made: Timestamp) -> bool {
    let mut about = story.cases.iter().filter(|case| case.kind == CaseKind::SecondBooking);
    about.any(|case| is_known(case, made, &LEFT))
}

/// Whether a person was told of a dispute, whatever became of its case.
pub(super) fn is_told_of_dispute(story: &Story, dispute: &Dispute) -> bool {
    let of_it = format!("disputed/{}/", dispute.id);
    story.cases.iter().any(|case| case.cause.starts_with(&of_it) && (case.alerted_at.or(case.closed_at)).is_some())
}
