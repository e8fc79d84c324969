//! Sends one e-mail as it was written.

use std::sync::Arc;

use serde::Deserialize;

use crate::engine::ctx::Ctx;
use crate::engine::policy::Policy;
use crate::engine::registry::{Outcome, Workflow};
use crate::model::failure::Failure;
use crate::model::id::MailId;
use crate::store::change::Change;
use crate::workflow::Means;

/// Which e-mail.
#[derive(Deserialize)]
pub struct Input {
    mail: i64,
}

/// Hands an e-mail to the mail provider. One that is refused for good opens a case: somebody was not told.
pub struct SendEmail(pub Arc<Means>);

impl Workflow for SendEmail {
    const NAME: &'static str = "send-email";
    type Input = Input;

    async fn run(&self, ctx: &Ctx, input: Input) -> Result<Outcome, Failure> {
        let mail = MailId(input.mail);
        let sent = ctx
            .step("send", Policy::MAIL, async |step| {
                let Some(mailer) = &self.0.providers.mail else {
                    return Err(Failure::permanent("no_mail_configured", "no mail provider is configured"));
                };
                let stored = self.0.store.mail(mail).await.map_err(|error| step.store_failure(error))?;
                let provider_id = mailer.send(&self.0.mail_from, &stored.letter).await?;
                step.also(Change::MailSent { mail, provider_id });
                Ok(())
            })
            .await;
        match sent {
            Ok(()) => Ok("sent"),
            Err(failure) => {
                ctx.commit("give-up", vec![Change::MailFailed(mail)]).await?;
                Err(failure)
            }
        }
    }
}
