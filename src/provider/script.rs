//! A transport for unit tests: records what is sent, answers from a list.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::transport::{Error, Request, Response, Transport};

/// Answers in order; once the list is empty, `200 {}`.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Result<Response, Error>>>,
    seen: Mutex<Vec<(Instant, Request)>>,
    pub(crate) delay: Duration,
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in lists beside errors")]
pub(crate) fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Response, Error> {
    Ok(Response {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
    })
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<Response, Error>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        self.seen.lock().unwrap().push((Instant::now(), request));
        let next = self.answers.lock().unwrap().pop_front();
        tokio::time::sleep(self.delay).await;
        next.unwrap_or_else(|| answer(200, &[], "{}"))
    }
}
