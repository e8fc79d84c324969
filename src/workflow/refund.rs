//! Paying back: recorded before Stripe is asked, read back whenever the answer is not known.

use crate::engine::ctx::Step;
use crate::ingress::stripe::tell_of_refund;
use crate::model::case::{CaseKind, NewCase};
use crate::model::failure::{Failure, FailureKind};
use crate::model::idempotency::{Key, resting};
use crate::model::money::Money;
use crate::model::payment::Payment;
use crate::model::refund::{self, Move, Refund, RefundFact, RefundOrigin, RefundStatus};
use crate::mutant::{Mutant, is_out};
use crate::provider::Error;
use crate::provider::stripe::{self, REFERENCE, RefundRequest};
use crate::store::Story;
use crate::store::change::{Change, RefundIntent};
use crate::workflow::Means;

/// Requests made in one try, each after a definite refusal of the one before.
const MOST_REQUESTS: u32 = 4;

/// Pays back what is wanted, or says why not. `Ok` is what Stripe says of the refund.
pub(super) async fn pay_back(means: &Means, step: &Step<'_>, intent: RefundIntent) -> Result<RefundStatus, Failure> {
    let payment = means.store.payment(intent.payment).await.map_err(|error| step.store_failure(error))?;
    let refund = means.store.intend_refund(Some(step.lease()), intent, step.now()).await;
    let refund = refund.map_err(|error| step.store_failure(error))?;
    carry_out(means, step, &payment, refund).await
}

/// Carries out a refund that is recorded, however far it came before.
pub(super) async fn carry_out(
    means: &Means,
    step: &Step<'_>,
    payment: &Payment,
    refund: Refund,
) -> Result<RefundStatus, Failure> {
    let payment_intent = payment.payment_intent.as_deref().unwrap_or_default();
    let asking = Asking { means, step, payment_intent, paid: payment.amount, refund };
    match asking.refund.status.next_move() {
        Move::Done => asking.done().await,
        Move::Begin => asking.first_time().await,
        Move::LookUp => asking.again().await,
        Move::Over => Err(Failure::permanent("refund_failed", "an earlier refund of this payment failed")),
    }
}

struct Asking<'a> {
    means: &'a Means,
    step: &'a Step<'a>,
    payment_intent: &'a str,
    /// What was paid, of which the refund may be a part.
    paid: Money,
    refund: Refund,
}

impl Asking<'_> {
    async fn first_time(mut self) -> Result<RefundStatus, Failure> {
        let intent = self.undisputed().await?;
        let back = intent.charge.as_ref().map_or(0, |charge| charge.amount_refunded);
        if back > self.known_to_be_back().await? {
            return self.adopt_what_is_there().await;
        }
        let request = RefundRequest {
            payment_intent: self.payment_intent.to_owned(),
            amount: self.refund.amount.minor,
            refund_application_fee: intent.application_fee_amount.is_some_and(|fee| fee > 0) || is_out(Mutant::FeeFlag),
            reverse_transfer: intent.transfer_data.is_some() || is_out(Mutant::ShareFlag),
            reference: self.refund.reference.clone(),
        };
        self.record_request(request.encode(), false).await?;
        self.ask().await
    }

    /// The payment as Stripe has it. While its charge is disputed, who is paid is decided there, and the refund is given up.
    async fn undisputed(&self) -> Result<stripe::PaymentIntent, Failure> {
        let intent = self.means.providers.stripe.payment_intent(self.payment_intent).await?;
        if intent.charge.as_ref().is_some_and(|charge| charge.disputed)
            && !is_out(Mutant::DisputeGuard)
            && !self.means.are_disputes_won(self.step).await?
        {
            let failure = Failure::permanent("charge_disputed", "the charge is disputed: nothing was refunded");
            return Err(self.give_up(failure).await);
        }
        Ok(intent)
    }

    async fn story(&self) -> Result<(Payment, Story), Failure> {
        let read = self.means.payment_story(self.refund.payment).await;
        read.map_err(|error| self.step.store_failure(error))
    }

    /// Its news may have come before anybody had looked whether the mentor's share came back with it.
    async fn done(self) -> Result<RefundStatus, Failure> {
        if let Some(case) = self.shortfall().await? {
            self.step.also(Change::OpenCase(case));
        }
        Ok(self.refund.status)
    }

    /// What our books say Stripe has paid back of this payment already, in minor units.
    async fn known_to_be_back(&self) -> Result<i64, Failure> {
        let (_, story) = self.story().await?;
        Ok(refund::accepted(&story.refunds))
    }

    /// Stripe was asked before and the answer is not known: read before asking again.
    async fn again(mut self) -> Result<RefundStatus, Failure> {
        if !is_blind()
            && let Some(found) = self.find().await?
        {
            return self.settle(&found).await;
        }
        if is_out(Mutant::KeyExpiry) {
            return self.ask().await;
        }
        let renew = match self.refund.key(self.step.now()) {
            _ if is_out(Mutant::RefundLookUp) => true,
            Key::Good => false,
            Key::Resting { left } => return Err(resting(left)),
            Key::Spent => true,
        };
        // It may have become so since the first time.
        self.undisputed().await?;
        let request = self.refund.request.clone().unwrap_or_default();
        // Also where the key stays: whoever has lost the run is not to ask any more.
        self.record_request(request, renew).await?;
        self.ask().await
    }

    async fn ask(mut self) -> Result<RefundStatus, Failure> {
        for _ in 0..MOST_REQUESTS {
            let body = self.refund.request.clone().unwrap_or_default();
            let mut key = self.refund.idempotency_key();
            if is_out(Mutant::SteadyKey) {
                key.push_str(&self.step.now().to_string());
            }
            let answer = self.means.providers.stripe.create_refund(&body, &key).await;
            let error = match answer {
                Ok(refund) => return self.settle(&refund).await,
                Err(error) => error,
            };
            match Next::after(&error, &body) {
                Next::Wait => {
                    // Looked for at once: nobody will where this was the last try.
                    let unknown = error.failure.kind == FailureKind::Unknown;
                    if unknown
                        && !is_blind()
                        && let Ok(Some(found)) = self.find().await
                    {
                        return self.settle(&found).await;
                    }
                    return Err(error.into());
                }
                Next::WaitWithNewKey => {
                    if let Some(found) = self.find().await? {
                        return self.settle(&found).await;
                    }
                    self.record_request(body, true).await?;
                    return Err(Failure { kind: FailureKind::Transient, ..error.into() });
                }
                Next::AskFor(request) => {
                    if let Some(found) = self.find().await? {
                        return self.settle(&found).await;
                    }
                    self.record_request(request, true).await?;
                }
                Next::Adopt => return self.adopt_what_is_there().await,
                Next::GiveUp => return Err(self.give_up(error.into()).await),
            }
        }
        Err(Failure::transient("refused_again", "stripe refused every form of the refund for now"))
    }

    /// Makes the request durable before it leaves.
    async fn record_request(&mut self, request: String, renew: bool) -> Result<(), Failure> {
        let refund = self.refund.id;
        if is_out(Mutant::RefundRecord) {
            self.refund.request = Some(request);
            return Ok(());
        }
        let recorded = self.step.commit(vec![Change::RefundSent { refund, request, renew }]).await;
        if let Err(failure) = recorded {
            // Its news may have come since it was looked for: the next try sees what it is.
            let learnt = failure.code == "refused_by_ledger";
            return Err(if learnt { Failure::transient("settled_meanwhile", failure.message) } else { failure });
        }
        self.refund = self.means.store.refund(refund).await.map_err(|error| self.step.store_failure(error))?;
        Ok(())
    }

    /// The refund that carries our mark, if Stripe has it. One of another amount is of books that were lost, and put back since.
    /// Where Stripe will not be read, nobody knows, whatever its refusal says.
    async fn find(&self) -> Result<Option<stripe::Refund>, Failure> {
        let all = self.means.providers.stripe.refunds_of(self.payment_intent).await;
        let all = all.map_err(|error| Failure { kind: FailureKind::Unknown, ..error.into() })?;
        Ok(all.into_iter().find(|refund| {
            refund.metadata.get(REFERENCE) == Some(&self.refund.reference) && refund.amount == self.refund.amount.minor
        }))
    }

    async fn settle(self, found: &stripe::Refund) -> Result<RefundStatus, Failure> {
        let fact = fact(found);
        let failure = matches!(fact, RefundFact::Failed | RefundFact::Canceled).then(|| {
            let why = found.failure_reason.as_deref().unwrap_or("no reason given");
            Failure::permanent("refund_failed", format!("stripe says the refund is {fact}: {why}"))
        });
        let learned = Change::RefundLearned {
            refund: self.refund.id,
            fact,
            stripe_refund_id: Some(found.id.clone()),
            failure: failure.clone(),
        };
        if let Some(failure) = failure {
            self.step.commit(vec![learned]).await?;
            return Err(failure);
        }
        let shortfall = self.shortfall().await?;
        self.step.also(learned);
        if let Some(case) = shortfall {
            self.step.also(Change::OpenCase(case));
        }
        Ok(if fact == RefundFact::Succeeded { RefundStatus::Succeeded } else { RefundStatus::Pending })
    }

    /// The case of a refund that had to be made without taking the mentor's share back, if this is one.
    async fn shortfall(&self) -> Result<Option<NewCase>, Failure> {
        let request = self.refund.request.as_deref().unwrap_or_default();
        if self.refund.generation == 1 || request.contains("reverse_transfer") {
            return Ok(None);
        }
        let intent = self.means.providers.stripe.payment_intent(self.payment_intent).await?;
        let Some(transfer) = intent.transfer_data else { return Ok(None) };
        let share = transfer.amount.unwrap_or(intent.amount - intent.application_fee_amount.unwrap_or(0));
        let share = Money::new(share, self.refund.amount.currency);
        Ok(Some(NewCase {
            kind: CaseKind::TransferNotReversed,
            cause: format!("transfer_not_reversed/{}", self.refund.reference),
            summary: format!(
                "the customer gets {} back and the mentor's {share} was not taken back: stripe refused the reversal",
                self.refund.amount
            ),
            detail: format!(
                "{}: reverse the transfer to {} by hand, or close this if it was reversed already",
                self.payment_intent,
                transfer.destination.as_deref().unwrap_or("the mentor")
            ),
            at_risk: Some(share),
        }))
    }

    /// Money went back by another way (Stripe's dashboard, another program): what is there is taken over, and what is
    /// left is refunded by the next try.
    async fn adopt_what_is_there(self) -> Result<RefundStatus, Failure> {
        let all = self.means.providers.stripe.refunds_of(self.payment_intent).await?;
        let currency = self.refund.amount.currency;
        let whole = self.paid.minor;
        let superseded = Failure::permanent("refunded_elsewhere", "the payment was refunded at stripe by another way");
        let mut changes = vec![Change::RefundLearned {
            refund: self.refund.id,
            fact: RefundFact::Failed,
            stripe_refund_id: None,
            failure: Some(superseded),
        }];
        let (mut settled, mut back) = (0, 0);
        for refund in &all {
            let fact = fact(refund);
            if fact == RefundFact::Succeeded {
                settled += refund.amount;
            }
            if matches!(fact, RefundFact::Succeeded | RefundFact::Pending) {
                back += refund.amount;
            }
            let amount = Money::new(refund.amount, currency);
            changes.extend(adopted(refund, amount));
        }
        self.step.commit(changes).await?;
        if self.refund.origin == RefundOrigin::Operator {
            // A person wanted this much on top of what they knew of: they decide again.
            let back = Money::new(back, currency);
            let why = format!("{back} of the payment was refunded at stripe by another way: look at it, then repeat");
            return Err(Failure::permanent("refunded_elsewhere", why));
        }
        if settled >= whole {
            Ok(RefundStatus::Succeeded)
        } else if back >= whole {
            Ok(RefundStatus::Pending)
        } else {
            Err(Failure::transient(
                "partly_refunded_elsewhere",
                format!("{} of {} was refunded by another way", Money::new(back, currency), self.paid),
            ))
        }
    }

    /// The refusal is recorded with the refund before the step fails.
    async fn give_up(&self, failure: Failure) -> Failure {
        let learned = Change::RefundLearned {
            refund: self.refund.id,
            fact: RefundFact::Failed,
            stripe_refund_id: None,
            failure: Some(failure.clone()),
        };
        self.step.commit(vec![learned]).await.err().unwrap_or(failure)
    }
}

fn is_blind() -> bool {
    is_out(Mutant::RefundLookUp) || is_out(Mutant::KeyExpiry)
}

/// What a refusal of Stripe leaves to be done.
enum Next {
    /// Nothing is known, or nothing happened: it is read, now and by the next try, which then asks with the same key.
    Wait,
    /// The refusal is stored under the key and its cause may pass.
    WaitWithNewKey,
    /// The same wish in another form, under a new key.
    AskFor(String),
    /// The money is back already.
    Adopt,
    /// No repeat will help.
    GiveUp,
}

impl Next {
    fn after(error: &Error, body: &str) -> Self {
        let message = error.failure.message.to_lowercase();
        let without = |flag: &str| {
            let kept: Vec<&str> = body.split('&').filter(|pair| !pair.starts_with(flag)).collect();
            kept.join("&")
        };
        match error.failure.kind {
            FailureKind::Unknown | FailureKind::Transient if error.replayed => Self::WaitWithNewKey,
            FailureKind::Unknown | FailureKind::Transient => Self::Wait,
            FailureKind::Permanent if error.code() == "charge_already_refunded" => Self::Adopt,
            FailureKind::Permanent
                if message.contains("no application fee") && body.contains("refund_application_fee") =>
            {
                Self::AskFor(without("refund_application_fee"))
            }
            // The customer comes first: the mentor's share may be short, gone back by hand, or never have moved.
            FailureKind::Permanent if body.contains("reverse_transfer") && message.contains("transfer") => {
                Self::AskFor(without("reverse_transfer"))
            }
            // It is the platform that is short.
            FailureKind::Permanent if error.code() == "balance_insufficient" => Self::WaitWithNewKey,
            FailureKind::Permanent => Self::GiveUp,
        }
    }
}

/// A refund as Stripe has it, for our books, and what is to be told of it: its news may be lost.
pub(super) fn adopted(refund: &stripe::Refund, amount: Money) -> [Change; 2] {
    let learned = Change::RefundAdopted {
        stripe_refund_id: refund.id.clone(),
        reference: refund.metadata.get(REFERENCE).cloned(),
        amount,
        fact: fact(refund),
    };
    [learned, tell_of_refund(&refund.id)]
}

fn fact(refund: &stripe::Refund) -> RefundFact {
    match refund.status.as_deref() {
        Some("succeeded") => RefundFact::Succeeded,
        Some("failed") => RefundFact::Failed,
        Some("canceled") => RefundFact::Canceled,
        _ => RefundFact::Pending,
    }
}
