//! Requests whose end another reader, a proxy before us, could see elsewhere, or that never end.

use std::future::pending;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::web::events;
use crate::web::problem::Problem;

/// How long a client may take for its body, wherever it goes.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Refuses what can be read in two ways, and what announces more than anybody takes. After a body in chunks nothing more is
/// read from the connection: whatever was slipped in behind it is no request.
pub(super) async fn one_reading(request: Request, next: Next) -> Response {
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let (mut response, last) = if is_ambiguous(request.headers()) {
        let why = "the request can be read in two ways";
        (Problem::new(StatusCode::BAD_REQUEST, "ambiguous_request", why).into_response(), true)
    } else if request.body().size_hint().lower() > events::MOST_BYTES as u64 {
        let why = "the body is larger than 3 MiB";
        (Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", why).into_response(), true)
    } else {
        match in_time(request, next).await {
            Ok(response) => (response, chunked),
            Err(problem) => (problem.into_response(), true),
        }
    };
    if last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What it is answered; a problem where its body is still awaited after [`BODY_TIMEOUT`]: until then nobody has done anything for it.
async fn in_time(request: Request, next: Next) -> Result<Response, Problem> {
    if request.body().is_end_stream() {
        return Ok(next.run(request).await);
    }
    // Goes with the body, when that has come whole or nobody wants it.
    let (guard, awaited) = oneshot::channel::<()>();
    let request = request.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _ = &guard;
        }))
    });
    let late = async {
        if timeout(BODY_TIMEOUT, awaited).await.is_ok() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        response = next.run(request) => Ok(response),
        () = late => {
            tracing::warn!(tag = "Web", event = "body_too_slow");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive in time"))
        }
    }
}

fn is_ambiguous(headers: &HeaderMap) -> bool {
    let several = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    several(&HOST)
        || several(&TRANSFER_ENCODING)
        || several(&CONTENT_LENGTH)
        || headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}
