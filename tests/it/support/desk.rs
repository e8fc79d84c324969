//! The dashboard of a world, called in process.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use discuno::app::App;
use discuno::config::Secret;
use discuno::config::access::{AccessConfig, Token, UNNAMED};
use discuno::model::role::Role;
use discuno::ops;
use discuno::sim::watched::{Verb, Watch, Watched};
use discuno::store::Shared;
use discuno::store::error::Error;
use discuno::web::admin::{self, Admin};
use discuno::web::auth::Access;
use http::{Request, Response, StatusCode, header};
use tower::ServiceExt;

use crate::support::World;

/// The token of each role.
pub(crate) const TOKENS: [(Role, &str); 3] =
    [(Role::Viewer, "viewer-0123456789"), (Role::Operator, "operator-0123456789"), (Role::Money, "money-0123456789")];

/// An answer, read to its end.
pub(crate) struct Shown {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Shown {
    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A store that does what is ordered and does not answer.
struct Silent;

impl Watch for Silent {
    async fn before(&self, _: Verb) -> Result<(), Error> {
        Ok(())
    }

    async fn after(&self, verb: Verb, _: Option<&Error>) -> Result<(), Error> {
        if verb.name == "operate" { Err(Error::CommitUnknown("the server is gone".to_owned())) } else { Ok(()) }
    }
}

/// Somebody at the dashboard.
#[derive(Clone)]
pub(crate) struct Desk {
    router: axum::Router,
    with: Vec<(String, String)>,
}

impl Desk {
    /// Somebody whom nobody knows.
    pub(crate) fn stranger(world: &World) -> Self {
        Self::at(world, |_| {})
    }

    /// Somebody whom nobody knows, at a dashboard that is changed.
    pub(crate) fn at(world: &World, change: impl FnOnce(&mut Admin)) -> Self {
        // One of them has a name.
        let name = |role| if role == Role::Money { "mia" } else { UNNAMED }.to_owned();
        let token = |(role, text): &(Role, &str)| Token { name: name(*role), role: *role, secret: Secret::new(text) };
        let tokens = TOKENS.iter().map(token).collect();
        let mut with = world.app.admin_over(&world.providers());
        with.access = Access::new(AccessConfig { tokens, ..AccessConfig::default() }, false);
        change(&mut with);
        Self { router: admin::alone(with), with: Vec::new() }
    }

    /// Somebody with this role.
    pub(crate) fn of(world: &World, role: Role) -> Self {
        Self::stranger(world).known_as(role)
    }

    /// Somebody with this role where the providers are stand-ins.
    pub(crate) fn in_sandbox(world: &World, role: Role, sandbox: axum::Router) -> Self {
        Self::at(world, |admin| admin.sandbox = Some(sandbox)).known_as(role)
    }

    /// Somebody with this role whose acts are done, and nobody is told.
    pub(crate) fn cut_off(world: &World, role: Role) -> Self {
        let App { store, clock, .. } = &world.app;
        let store: Shared = Arc::new(Watched::new(Arc::clone(store), Silent));
        let desk = ops::desk::Desk::new(store, None, world.app.understanding(), clock.clone());
        Self::at(world, |admin| admin.desk = desk).known_as(role)
    }

    fn known_as(self, role: Role) -> Self {
        let (_, token) = TOKENS.iter().find(|(known, _)| *known == role).unwrap();
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// The same with a header on each request.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.with.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Shown {
        self.ask("GET", path, "").await
    }

    /// Sends a form.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Shown {
        self.ask("POST", path, form).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, form: &str) -> Shown {
        let (parts, body) = self.begin(method, path, form).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Shown { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// The answer, with its body still to come.
    pub(crate) async fn begin(&self, method: &str, path: &str, form: &str) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "desk.test");
        if method == "POST" && !self.with.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in &self.with {
            request = request.header(name, value);
        }
        self.router.clone().oneshot(request.body(Body::from(form.to_owned())).unwrap()).await.unwrap()
    }
}
