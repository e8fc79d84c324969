//! The systems at the other end: typed requests, typed answers, and one verdict on what a failure means.
//!
//! Nothing here retries, remembers or decides: a call is made once, and what became of it is told. Each provider takes
//! a [`Transport`](crate::transport::Transport), usually behind a [`Gate`](gate::Gate) of its own.

pub mod alert;
pub mod cal;
mod client;
pub mod error;
pub mod gate;
pub mod mail;
pub mod posthog;
mod redact;
pub mod resend;
mod retry_after;
#[cfg(test)]
mod script;
pub mod smtp;
pub mod stripe;
mod verdict;

pub use error::Error;

use crate::model::words;

words! {
    /// Who was asked.
    ProviderName, "provider" {
        /// Takes and returns the money.
        Stripe => "stripe",
        /// Holds the calendar.
        Cal => "cal",
        /// Counts.
        Posthog => "posthog",
        /// Sends mail over HTTP.
        Resend => "resend",
        /// Sends mail over SMTP.
        Smtp => "smtp",
        /// Tells the people on call.
        Alert => "alert",
    }
}

/// Everything a workflow can reach. What is `None` is not configured.
#[derive(Clone)]
pub struct Providers {
    /// Payments and refunds.
    pub stripe: stripe::Stripe,
    /// Bookings.
    pub cal: cal::Cal,
    /// Product analytics.
    pub posthog: Option<posthog::PostHog>,
    /// E-mail.
    pub mail: Option<mail::Mailer>,
    /// The same for the people on call, whose e-mails do not wait behind all others.
    pub alert_mail: Option<mail::Mailer>,
    /// The on-call channel.
    pub alert: Option<alert::AlertHook>,
}
