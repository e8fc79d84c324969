//! Records a story as it goes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use discuno::clock::Clock;
use discuno::sim::watched::{Verb, Watch, Watched};
use discuno::store::error::Error;
use discuno::transport::{self, Request, Response, Transport};

use crate::in_flight::film::{Asked, Film, Line};
use crate::in_flight::ways::{Way, adjust};
use crate::support::{Act, World};

/// Until nobody looks any more for what may come late.
const AFTERMATH: Duration = Duration::from_hours(3);

/// Sees each write of a run.
struct Camera {
    film: Arc<Film>,
    clock: Clock,
    db: PathBuf,
}

impl Watch for Camera {
    async fn before(&self, _verb: Verb) -> Result<(), Error> {
        Ok(())
    }

    async fn after(&self, verb: Verb, refused: Option<&Error>) -> Result<(), Error> {
        // What ends a run or has it wait leaves it as it was after its last step.
        let cuts = verb.by_run && refused.is_none() && !matches!(verb.name, "put_back" | "finish");
        if let Some(run) = verb.run().filter(|_| cuts) {
            self.film.cut(run.0, verb.name, self.clock.now(), &self.db);
        }
        Ok(())
    }
}

/// Hears each request.
struct Microphone {
    film: Arc<Film>,
    clock: Clock,
    inner: Arc<dyn Transport>,
}

#[async_trait]
impl Transport for Microphone {
    async fn send(&self, request: Request) -> Result<Response, transport::Error> {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        self.film.push(Line::Asked(Asked {
            at: self.clock.now().0,
            method: request.method.to_string(),
            url: request.url.to_string(),
            headers: request.headers.iter().map(header).collect(),
            body: String::from_utf8(request.body.to_vec()).unwrap(),
        }));
        self.inner.send(request).await
    }
}

/// Goes through a story, and records what was not before.
pub(crate) async fn record(film: &Arc<Film>, way: &Way) {
    let mut world = World::idle_with(|config| adjust(config, way.refund_called_off));
    let (db, clock) = (world.app.config.db.clone(), world.app.clock.clone());
    film.begin(way.name, way.refund_called_off, &db);
    let camera = Camera { film: Arc::clone(film), clock: clock.clone(), db: db.clone() };
    world.app.store = Arc::new(Watched::new(Arc::clone(&world.app.store), camera));
    let inner = world.providers();
    world.work_over(Arc::new(Microphone { film: Arc::clone(film), clock, inner }));
    for act in &way.acts {
        let at = world.app.clock.now().0;
        match act {
            Act::Unheard(event) => {
                film.push(Line::Unheard { at, event: String::from_utf8(event.clone()).unwrap() });
            }
            Act::Trouble(fault) => film.push(Line::Trouble { at, fault: fault.clone() }),
            _ => {}
        }
        act.happen(&world).await;
    }
    world.settle_share().await;
    world.pass(AFTERMATH).await;
    film.end(&db);
}
