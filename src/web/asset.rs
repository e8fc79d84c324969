//! The style, the script and the icon, from the binary itself. Their names carry a digest, so that browsers keep them for ever.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Path;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::web::problem::not_found;

/// One file.
pub(super) struct Asset {
    name: String,
    kind: &'static str,
    bytes: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, bytes: &'static str) -> Self {
        let digest = hex::encode(&digest(&SHA256, bytes.as_bytes()).as_ref()[..6]);
        Self { name: format!("{stem}-{digest}.{extension}"), kind, bytes }
    }

    /// Where it is.
    pub(super) fn address(&self) -> String {
        format!("/static/{}", self.name)
    }
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("app", "css", "text/css; charset=utf-8", include_str!("static/app.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("app", "js", "text/javascript; charset=utf-8", include_str!("static/app.js")));

pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("static/icon.svg")));

pub(super) async fn file(Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    match [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.name == name) {
        Some(asset) => {
            let headers =
                [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.bytes).into_response()
        }
        None => not_found(uri, headers).await,
    }
}
