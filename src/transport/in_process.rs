//! A router called without sockets: the sandbox in tests and in simulation.

use async_trait::async_trait;
use axum::body::Body;
use tower::ServiceExt;

use crate::transport::{Error, MAX_BODY, Request, Response, Transport};

/// Answers every request with a router, by path; the host of the address is left out of account.
#[derive(Clone)]
pub struct InProcess(axum::Router);

impl InProcess {
    /// A transport to `router`.
    pub fn new(router: axum::Router) -> Self {
        Self(router)
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let Request { method, url, headers, body, timeout } = request;
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut outgoing = http::Request::builder()
            .method(method)
            .uri(target)
            .body(Body::from(body))
            .map_err(|error| Error::Connect(error.to_string()))?;
        *outgoing.headers_mut() = headers;

        let exchange = async {
            let answer = match self.0.clone().oneshot(outgoing).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            let (parts, body) = answer.into_parts();
            match axum::body::to_bytes(body, MAX_BODY).await {
                Ok(body) => Ok(Response { status: parts.status, headers: parts.headers, body }),
                Err(error) => Err(Error::Reset(error.to_string())),
            }
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(Error::TimedOut { after: timeout, sent: true }))
    }
}
