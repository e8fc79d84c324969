//! What an operator may order, as values.

use serde_json::Value;

use crate::model::case::{NewCase, Resolution};
use crate::model::id::{ActId, AlertId, CaseId, EventId, PaymentId, RefundId, RunId};
use crate::model::money::Money;
use crate::model::pause::Pausable;
use crate::model::time::Timestamp;
use crate::store::change::Plan;

/// A deed, who orders it, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who, as the audit trail is to know them.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// What.
    pub deed: Deed,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Pay back. What exists already is returned.
    Refund(RefundOrder),
    /// Have an ended run go on: from its failed step, or from a step that is named.
    Retry {
        /// Which.
        run: RunId,
        /// The step from which everything is done again.
        from: Option<String>,
    },
    /// Apply what follows from an event that is kept, as if it had come again.
    Replay {
        /// Which.
        event: EventId,
        /// What follows from its bytes.
        plan: Box<Plan>,
    },
    /// End a run at its next step boundary; one that nobody holds ends at once.
    Cancel(RunId),
    /// Close a case.
    Resolve {
        /// Which.
        case: CaseId,
        /// How it came out.
        resolution: Resolution,
    },
    /// Open a case about a payment.
    OpenCase {
        /// Which payment.
        payment: PaymentId,
        /// The case.
        case: NewCase,
    },
    /// Stop a provider or a workflow.
    Pause(Pausable),
    /// Let it go on.
    Resume(Pausable),
    /// Do not tell of an alert again before then, however long it goes on. (That of a case cannot be silenced.)
    Silence {
        /// Which.
        alert: AlertId,
        /// Until when.
        until: Timestamp,
    },
    /// Look at people's names and addresses.
    Reveal {
        /// What is looked at.
        subject: String,
        /// The payment it belongs to.
        payment: Option<PaymentId>,
        /// Which rows of a list that were, and how they were asked for; nothing of a single thing.
        shown: Value,
    },
    /// Something done to the file as a whole, noted in it.
    Note {
        /// What.
        verb: crate::model::act::Verb,
        /// To what.
        subject: String,
        /// How it came out.
        after: Value,
    },
}

/// A refund that is wanted.
#[derive(Debug, Clone)]
pub struct RefundOrder {
    /// Of what.
    pub payment: PaymentId,
    /// How much; none for all that is left.
    pub amount: Option<Money>,
    /// Whether it is a further one although one of this amount is there.
    pub another: bool,
    /// How many refunds whoever orders it has seen: a further one that was made since is the one that is meant.
    pub seen: Option<u32>,
    /// Whether the session is to be called off too.
    pub cancel_booking: bool,
}

/// What came of an order.
#[derive(Debug, Clone)]
pub struct Performed {
    /// Its row in the audit trail; none if nothing had to be done.
    pub act: Option<ActId>,
    /// The refund that was ordered, or that was there.
    pub refund: Option<RefundId>,
    /// The run that carries it out, or that was meant.
    pub run: Option<RunId>,
    /// What was so before.
    pub before: Value,
    /// What is so now.
    pub after: Value,
}
