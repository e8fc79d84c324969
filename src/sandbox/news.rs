//! What requests have brought about since somebody last looked: what the providers would send webhooks about.

use crate::sandbox::ledger::{Booking, PaymentIntent, Refund, Transfer};
use crate::sandbox::{Sandbox, lock};

/// How far somebody has looked.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    refunds: usize,
    transfers: usize,
    bookings: usize,
    cancellations: usize,
}

/// Something that was brought about.
#[derive(Debug, Clone)]
pub enum News {
    /// A refund of this payment was made.
    Refunded(Box<Refund>, Box<PaymentIntent>),
    /// A share was moved, with its charge or by itself.
    Transferred(Transfer),
    /// A booking was made.
    Booked(Booking),
    /// A booking was cancelled.
    Cancelled(Booking),
}

impl Sandbox {
    /// What has happened since `seen`, which is moved on.
    pub fn news(&self, seen: &mut Seen) -> Vec<News> {
        let mut news = Vec::new();
        {
            let stripe = lock(&self.0.stripe);
            for refund in stripe.refunds_after(seen.refunds) {
                seen.refunds += 1;
                if let Some(intent) = stripe.intent(&refund.payment_intent) {
                    news.push(News::Refunded(Box::new(refund.clone()), Box::new(intent.clone())));
                }
            }
            for transfer in stripe.transfers_after(seen.transfers) {
                seen.transfers += 1;
                news.push(News::Transferred(transfer.clone()));
            }
        }
        let cal = lock(&self.0.cal);
        for id in cal.made.iter().skip(seen.bookings) {
            seen.bookings += 1;
            news.extend(cal.booking(*id).cloned().map(News::Booked));
        }
        for id in cal.cancelled.iter().skip(seen.cancellations) {
            seen.cancellations += 1;
            news.extend(cal.booking(*id).cloned().map(News::Cancelled));
        }
        news
    }

    /// Whether the money of a payment intent has come in.
    pub fn is_paid(&self, intent: &str) -> bool {
        lock(&self.0.stripe).intent(intent).is_some_and(|intent| intent.charge.is_some())
    }

    /// The refunds of a payment, in the order in which they were made.
    pub fn refunds_of(&self, intent: &str) -> Vec<Refund> {
        let stripe = lock(&self.0.stripe);
        stripe.refunds_after(0).filter(|refund| refund.payment_intent == intent).cloned().collect()
    }

    /// The bookings that stand at Cal.com for what is known by `reference`.
    pub fn standing(&self, reference: &str) -> Vec<Booking> {
        lock(&self.0.cal).standing(reference)
    }
}
