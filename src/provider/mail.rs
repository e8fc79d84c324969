//! E-mail, by Resend's API or by SMTP.

use crate::model::mail::NewMail;
use crate::provider::error::Error;
use crate::provider::resend::Resend;
use crate::provider::smtp::Smtp;

/// Whoever takes our e-mails.
#[derive(Clone)]
pub enum Mailer {
    /// Over HTTP; a repeat within 24 hours is not sent again.
    Resend(Resend),
    /// Over SMTP; a connection lost at the very end can make a repeat arrive twice.
    Smtp(Smtp),
}

impl Mailer {
    /// Hands an e-mail over. `Ok` means taken, not delivered; the provider's id if it gives one.
    pub async fn send(&self, from: &str, letter: &NewMail) -> Result<Option<String>, Error> {
        match self {
            Self::Resend(resend) => resend.send(from, letter).await,
            Self::Smtp(smtp) => smtp.send(from, letter).await,
        }
    }
}
