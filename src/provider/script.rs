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

    pub(crate) fn sent(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    /// `POST https://host/path`, the headers one by line in order of their names, an empty line, the body.
    pub(crate) fn wire(&self, index: usize) -> String {
        let seen = self.seen.lock().unwrap();
        let request = &seen[index].1;
        let mut headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
        headers.sort();
        let body = String::from_utf8_lossy(&request.body);
        format!("{} {}\n{}\n{body}", request.method, request.url, headers.concat())
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
