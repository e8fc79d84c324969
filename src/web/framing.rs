//! Requests whose end another reader, a proxy before us, could see elsewhere.

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::web::events;
use crate::web::problem::Problem;

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
        (next.run(request).await, chunked)
    };
    if last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn is_ambiguous(headers: &HeaderMap) -> bool {
    let several = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    several(&HOST)
        || several(&TRANSFER_ENCODING)
        || several(&CONTENT_LENGTH)
        || headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}
