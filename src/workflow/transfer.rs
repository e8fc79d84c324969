//! The mentor's share, where the charge did not move it: once the dispute period is over, and never twice.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::ctx::{Ctx, Step};
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::booking::{BookingStatus, NewBooking};
use crate::model::case::{self, Case, CaseKind, NewCase};
use crate::model::checkout::Checkout;
use crate::model::dispute::DisputeStatus;
use crate::model::failure::{Failure, FailureKind};
use crate::model::idempotency::{Key, resting};
use crate::model::payment::PaymentStatus;
use crate::model::time::Timestamp;
use crate::model::transfer::{Transfer, TransferStatus, not_moved};
use crate::mutant::{Mutant, is_out};
use crate::provider::stripe::{self, TRANSFER_REFERENCE, TransferRequest};
use crate::store::change::{Change, NewRun, SETTLING, TRANSFER_WORKFLOW, TransferIntent};
use crate::store::error::Error;
use crate::workflow::{Means, letter};

/// The workflow's name.
pub const NAME: &str = TRANSFER_WORKFLOW;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// What cannot be moved for as many days needs a person.
const MOST_DAYS: u32 = 30;

/// A run that moves the share of `order`, first looked at when the dispute period of `booking` is over.
pub(super) fn start(order: &Checkout, booking: &NewBooking, dispute_period: Duration) -> Option<Change> {
    order.payment_intent.as_ref().filter(|_| order.mentor_amount > 0)?;
    let mut run = NewRun::on_subject(NAME);
    run.due_at = Some(order.paid_at.max(booking.end).plus(dispute_period));
    Some(Change::Start(run))
}

/// Moves a share.
pub struct TransferToMentor(pub Arc<Means>);

/// What the books say.
#[derive(Serialize, Deserialize)]
enum Check {
    Wait { until: Timestamp, why: String },
    Never { why: String },
    Now { mentor: Option<String> },
}

/// What Stripe said.
#[derive(Serialize, Deserialize)]
enum Moved {
    Made { transfer: String },
    WithTheCharge,
    NotYet { why: String },
    Refused { why: String },
}

impl Workflow for TransferToMentor {
    const NAME: &'static str = NAME;
    type Input = Checkout;

    async fn run(&self, ctx: &Ctx, order: Checkout) -> Result<Outcome, Failure> {
        let (mut waited_for, mut failed) = (String::new(), None);
        for _ in 0..MOST_DAYS {
            let check = ctx.step("check", Policy::DEFAULT, async |step| self.check(&step, &order).await).await?;
            let mentor = match check {
                Check::Never { .. } => return Ok("not_due"),
                Check::Wait { until, why } => {
                    waited_for = why;
                    ctx.sleep_until(until).await;
                    continue;
                }
                Check::Now { mentor } => mentor,
            };
            let moved =
                ctx.step("transfer-share", Policy::MONEY, async |step| self.transfer(&step, &order).await).await;
            match moved {
                Ok(Moved::WithTheCharge) => return Ok("moved_with_the_charge"),
                Ok(Moved::Made { transfer }) => {
                    let mail = mentor.map(|to| letter::share_transferred(&order, &to, &transfer, order.share()));
                    ctx.commit("tell-mentor", mail.into_iter().map(Change::Mail).collect()).await?;
                    return Ok("transferred");
                }
                // What has come between since the check is weighed by the next.
                Ok(Moved::NotYet { why } | Moved::Refused { why }) => {
                    waited_for = why;
                    ctx.sleep("wait-a-day", DAY).await;
                }
                Err(failure) => {
                    waited_for = format!("{} ({})", failure.code, failure.message);
                    failed = Some(failure);
                    break;
                }
            }
        }
        ctx.step("alert-admin", Policy::DEFAULT, async |step| {
            let read = self.0.payment_story(step.payment()?).await;
            let (_, story) = read.map_err(|error| step.store_failure(error))?;
            let asked = story.transfers.iter().any(|transfer| transfer.status == TransferStatus::Sent);
            step.also(Change::OpenCase(blocked(&order, &waited_for, asked)));
            Ok(())
        })
        .await?;
        // Whoever has mended what was in the way retries the run.
        failed.map_or(Ok("case_opened"), Err)
    }
}

impl TransferToMentor {
    /// M9: nothing moves for what is refunded, disputed or undecided.
    async fn check(&self, step: &Step<'_>, order: &Checkout) -> Result<Check, Failure> {
        let read = self.0.payment_story(step.payment()?).await;
        let (payment, story) = read.map_err(|error| step.store_failure(error))?;
        let tomorrow = step.now().plus(DAY);
        let wait = |why: &str| Ok(Check::Wait { until: tomorrow, why: why.to_owned() });
        let never = |why: &str| Ok(Check::Never { why: why.to_owned() });
        if is_out(Mutant::ShareChecks) {
            return Ok(Check::Now { mentor: None });
        }
        match payment.status {
            PaymentStatus::Booked => {}
            PaymentStatus::Paid | PaymentStatus::Attention => return wait("a case about the payment is open"),
            status => return never(&format!("the payment is {status}")),
        }
        if story.cases.iter().any(Case::is_undecided) {
            return wait("a case about the payment is open");
        }
        if story.disputes.iter().any(|dispute| dispute.status == DisputeStatus::Lost) {
            return never("the dispute was lost");
        }
        if story.disputes.iter().any(|dispute| dispute.status.holds_transfer()) {
            return wait("the payment is disputed");
        }
        if story.refunds.iter().any(|refund| refund.status.holds_money()) {
            return wait("a part of the payment was refunded");
        }
        let live = story.bookings.iter().find(|booking| booking.facts.status.is_live());
        let Some(booking) = live.map(|booking| &booking.facts) else {
            return wait("no session stands for the payment");
        };
        // A session that nobody confirmed takes place where a person says so.
        let took_place = case::is_let_stand(&story.cases) && booking.end <= step.now();
        if booking.status == BookingStatus::Pending && !took_place {
            return wait("the mentor has not confirmed the session");
        }
        if story.runs.iter().any(|(run, _)| SETTLING.contains(&run.workflow.as_str()) && !run.state.is_terminal()) {
            return wait("it is not settled yet what becomes of the payment");
        }
        let due = order.paid_at.max(booking.end).plus(self.0.dispute_period);
        if step.now() < due {
            return Ok(Check::Wait { until: due, why: "the dispute period".to_owned() });
        }
        let account = self.0.store.account(&order.mentor_account).await.map_err(|error| step.store_failure(error))?;
        let of_account = account.and_then(|account| account.email);
        Ok(Check::Now { mentor: booking.host_email().map(str::to_owned).or(of_account) })
    }

    async fn transfer(&self, step: &Step<'_>, order: &Checkout) -> Result<Moved, Failure> {
        let stripe = &self.0.providers.stripe;
        let intent = stripe.payment_intent(order.reference()).await?;
        if intent.transfer_data.is_some() {
            return Ok(Moved::WithTheCharge);
        }
        let Some(charge) = intent.charge else {
            return Err(Failure::permanent("no_charge", "the payment intent has no charge"));
        };
        // What Stripe has not told yet counts as well.
        let unseen = is_out(Mutant::ShareChecks) || is_out(Mutant::ChargeLookUp);
        let disputed = charge.disputed && !self.0.are_disputes_won(step).await?;
        if (disputed || charge.amount_refunded > 0) && !unseen {
            return Ok(Moved::NotYet { why: "stripe says that the charge is refunded or disputed".to_owned() });
        }
        let read = self.0.payment_story(step.payment()?).await;
        let (_, story) = read.map_err(|error| step.store_failure(error))?;
        let asked = story.transfers.iter().find(|transfer| transfer.status == TransferStatus::Sent);
        if let Some(asked) = asked
            && let Some(moved) = self.read_back(step, asked, order).await?
        {
            return Ok(moved);
        }
        let wanted = TransferIntent {
            payment: step.payment()?,
            amount: order.share(),
            destination: order.mentor_account.clone(),
        };
        let transfer = match self.0.store.intend_transfer(step.lease(), wanted, step.now()).await {
            Ok(transfer) => transfer,
            Err(Error::Illegal(why)) => return Ok(Moved::Refused { why }),
            Err(error) => return Err(step.store_failure(error)),
        };
        let request = match transfer.status {
            TransferStatus::Made => {
                return Ok(Moved::Made { transfer: transfer.stripe_transfer_id.unwrap_or_default() });
            }
            TransferStatus::Sent => transfer.request.clone().unwrap_or_default(),
            TransferStatus::Intended | TransferStatus::Failed => {
                // Books that were put back to before it was moved do not know of it.
                if let Some(moved) = self.find(step, &transfer, order).await? {
                    return Ok(moved);
                }
                let request = TransferRequest {
                    amount: transfer.amount,
                    destination: &transfer.destination,
                    source_transaction: &charge.id,
                    reference: &transfer.reference,
                }
                .encode();
                let sent = Change::TransferSent { transfer: transfer.id, request: request.clone(), renew: false };
                step.commit(vec![sent]).await?;
                request
            }
        };
        let error = match stripe.create_transfer(&request, &transfer.idempotency_key()).await {
            Ok(found) => return Ok(made(step, &found, &transfer)),
            Err(error) => error,
        };
        if error.failure.kind != FailureKind::Permanent {
            return Err(error.into());
        }
        // The refusal is stored under the key: the next try is another wish, with a key of its own.
        step.commit(vec![Change::TransferFailed(transfer.id)]).await?;
        match error.code() {
            "balance_insufficient" | "insufficient_capabilities_for_transfer" => {
                Ok(Moved::NotYet { why: error.code().to_owned() })
            }
            _ => Err(error.into()),
        }
    }

    async fn find(&self, step: &Step<'_>, known: &Transfer, order: &Checkout) -> Result<Option<Moved>, Failure> {
        let all = self.0.providers.stripe.transfers_of(&format!("group_{}", order.reference())).await?;
        let any = format!("{}/share/", order.reference());
        let found = all.into_iter().find(|found| match found.metadata.get(TRANSFER_REFERENCE) {
            Some(mark) if *mark == known.reference => true,
            // Books that were put back count their wishes anew.
            Some(mark) => {
                known.status == TransferStatus::Intended
                    && mark.starts_with(&any)
                    && found.amount_reversed < known.amount.minor
            }
            None => false,
        });
        Ok(found.filter(|_| !is_out(Mutant::ShareLookUp)).map(|found| made(step, &found, known)))
    }

    /// Stripe was asked before and the answer is not known: read before asking again.
    async fn read_back(&self, step: &Step<'_>, known: &Transfer, order: &Checkout) -> Result<Option<Moved>, Failure> {
        if let Some(moved) = self.find(step, known, order).await? {
            return Ok(Some(moved));
        }
        match Key::of(known.sent_at, step.now()) {
            Key::Good => Ok(None),
            Key::Resting { left } => Err(resting(left)),
            Key::Spent => {
                step.commit(vec![Change::TransferFailed(known.id)]).await?;
                Err(Failure::transient("key_expired", "stripe does not have the transfer and may forget its key"))
            }
        }
    }
}

fn made(step: &Step<'_>, found: &stripe::Transfer, known: &Transfer) -> Moved {
    step.also(Change::TransferSeen {
        stripe_transfer_id: found.id.clone(),
        reference: Some(known.reference.clone()),
        amount: known.amount,
        reversed: found.amount_reversed.clamp(0, known.amount.minor),
        destination: known.destination.clone(),
    });
    Moved::Made { transfer: found.id.clone() }
}

/// `asked` says that Stripe was asked and nobody knows what came of it.
fn blocked(order: &Checkout, why: &str, asked: bool) -> NewCase {
    NewCase {
        kind: CaseKind::TransferBlocked,
        cause: format!("transfer_blocked/{}", order.reference()),
        summary: not_moved(order.share(), asked, why),
        detail: format!(
            "{} for {}: once it is clear retry the run if it has failed, or else transfer it in Stripe",
            order.reference(),
            order.mentor_account
        ),
        at_risk: Some(order.share()),
    }
}
