//! Real HTTP, by reqwest.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;

use crate::transport::{Error, MAX_BODY, Request, Response, Transport};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection pool for all providers. Redirects are not followed, proxies come from the environment.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Http {
    /// A client with TLS from the system's roots.
    pub fn new() -> Result<Self, reqwest::Error> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .user_agent(concat!("discuno/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
    }
}

#[async_trait]
impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let Request { method, url, headers, body, timeout } = request;
        let outgoing = self.0.request(method, url).headers(headers).body(body).timeout(timeout);
        let mut answer = outgoing.send().await.map_err(|error| classify(&error, timeout))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| classify(&error, timeout))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Error::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze() })
    }
}

fn classify(error: &reqwest::Error, timeout: Duration) -> Error {
    if error.is_connect() || error.is_builder() {
        Error::Connect(innermost(error))
    } else if error.is_timeout() {
        Error::TimedOut { after: timeout, sent: true }
    } else {
        Error::Reset(innermost(error))
    }
}

/// The last cause: reqwest's own texts repeat the address, which may hold what does not belong in a log.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
