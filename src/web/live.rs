//! Open pages, kept up to date: each view is drawn once for all who look at it, when the store has changed, and only
//! what differs is sent.
//!
//! A template marks what lives: `<!--live NAME-->…<!--/live-->` stands inside the element with the id NAME, and each of
//! its children comes after an `<!--item KEY-->`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// At most this often; and never for more than a twentieth of the time.
const PACE: Duration = Duration::from_secs(1);
const SHARE: u32 = 20;
/// So many tabs at once.
const MOST_TABS: usize = 256;
/// A stream ends after this, so that whoever was logged out is no longer shown anything; browsers come again.
const LONGEST: Duration = Duration::from_secs(600);
/// The largest page.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// On a request that only what lives on a page is read from.
#[derive(Clone, Copy)]
pub(super) struct Drawn;

/// A view: a page as somebody with this role sees it.
type View = (String, Identity);
/// What is shown, by the name of its place: keys and contents in order.
type Places = BTreeMap<String, Vec<(String, String)>>;

/// The views that somebody looks at, each with what it shows.
#[derive(Default)]
pub struct Hub {
    pages: OnceLock<Router>,
    views: Mutex<BTreeMap<View, watch::Sender<Arc<Places>>>>,
    joined: Notify,
}

/// How a place is to be changed.
#[derive(Serialize)]
struct Change<'a> {
    keys: Vec<&'a str>,
    html: BTreeMap<&'a str, &'a str>,
}

impl Hub {
    /// The pages that views are drawn by.
    pub(super) fn show(&self, pages: &Router) {
        let _ = self.pages.set(pages.clone());
    }

    fn views(&self) -> MutexGuard<'_, BTreeMap<View, watch::Sender<Arc<Places>>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins a view, and starts to draw if nobody looked at any. None where too many look already.
    fn join(self: &Arc<Self>, view: View, admin: &Admin) -> Option<watch::Receiver<Arc<Places>>> {
        let mut views = self.views();
        if views.values().map(watch::Sender::receiver_count).sum::<usize>() >= MOST_TABS {
            return None;
        }
        if views.is_empty() {
            tokio::spawn(Arc::clone(self).draw(admin.clone()));
        }
        self.joined.notify_one();
        Some(views.entry(view).or_default().subscribe())
    }

    /// Draws until nobody looks.
    async fn draw(self: Arc<Self>, admin: Admin) {
        let mut changes = admin.store.changes();
        loop {
            changes.mark_unchanged();
            let began = Instant::now();
            let looked_at: Vec<View> = {
                let mut views = self.views();
                views.retain(|_, places| places.receiver_count() > 0);
                views.keys().cloned().collect()
            };
            if looked_at.is_empty() {
                return;
            }
            for view in looked_at {
                let drawn = self.places(&view).await;
                if let (Some(drawn), Some(places)) = (drawn, self.views().get(&view)) {
                    places.send_if_modified(|known| {
                        let differs = **known != drawn;
                        if differs {
                            *known = Arc::new(drawn);
                        }
                        differs
                    });
                }
            }
            tokio::time::sleep(PACE.max(began.elapsed() * SHARE)).await;
            tokio::select! {
                _ = changes.changed() => {}
                () = self.joined.notified() => {}
                () = admin.stop.cancelled() => return,
            }
        }
    }

    async fn places(&self, (address, identity): &View) -> Option<Places> {
        let mut request = Request::builder().uri(address).body(Body::empty()).ok()?;
        request.extensions_mut().insert(identity.clone());
        request.extensions_mut().insert(Drawn);
        let answer = match self.pages.get()?.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        if answer.status() != StatusCode::OK {
            return None;
        }
        let body = to_bytes(answer.into_body(), MOST_BYTES).await.ok()?;
        Some(places(std::str::from_utf8(&body).ok()?))
    }
}

/// What has to change from one to the other.
fn delta(old: &Places, new: &Places) -> String {
    let mut changed = BTreeMap::new();
    for (place, items) in new {
        let known = old.get(place);
        if known == Some(items) {
            continue;
        }
        let is_known = |item: &&(String, String)| known.is_some_and(|known| known.contains(item));
        let keys = items.iter().map(|(key, _)| key.as_str()).collect();
        let html = items.iter().filter(|item| !is_known(item)).map(|(key, html)| (key.as_str(), html.as_str()));
        changed.insert(place, Change { keys, html: html.collect() });
    }
    serde_json::to_string(&changed).unwrap_or_default()
}

/// The living places of a page. What comes from outside cannot hold a mark: it is escaped.
fn places(page: &str) -> Places {
    let mut places = Places::new();
    for part in page.split("<!--live ").skip(1) {
        let Some((name, rest)) = part.split_once("-->") else { continue };
        let content = rest.split_once("<!--/live-->").map_or(rest, |(content, _)| content);
        let items = content.split("<!--item ").skip(1).filter_map(|item| item.split_once("-->"));
        places.insert(name.to_owned(), items.map(|(key, html)| (key.to_owned(), html.trim().to_owned())).collect());
    }
    places
}

#[derive(Deserialize)]
pub(super) struct Looked {
    view: String,
}

/// `GET /live?view=/runs?status=failed`: the changes of that page as server-sent events.
pub(super) async fn stream(
    State(admin): State<Admin>,
    identity: Identity,
    Query(Looked { view }): Query<Looked>,
) -> Result<impl IntoResponse, Problem> {
    // The log is not the store: no commit tells of it.
    if !view.starts_with('/') || view.starts_with("/live") || view.starts_with("/logs") {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "no_view", "view takes the path of a page"));
    }
    let frames = Arc::clone(&admin.live).join((view, identity), &admin).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_tabs", "too many pages are open: reload to see changes")
    })?;
    let stop = admin.stop.clone();
    let end = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    };
    // The first frame is sent whole, and nothing as long as there is none.
    let events = stream::unfold((frames, Arc::new(Places::new())), |(mut frames, mut shown)| async move {
        loop {
            let now = Arc::clone(&frames.borrow_and_update());
            if now != shown {
                let change = delta(&shown, &now);
                shown = now;
                return Some((Ok::<_, Infallible>(Event::default().data(change)), (frames, shown)));
            }
            frames.changed().await.ok()?;
        }
    });
    Ok(Sse::new(events.take_until(Box::pin(end))).keep_alive(KeepAlive::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<p>x</p><tbody id=rows><!--live rows-->\n<!--item run_2--><tr>2</tr>\n<!--item run_1--><tr>1</tr>\n\
         <!--/live--></tbody><div id=sum><!--live sum--><!--item all--><b>3</b><!--/live--></div>";

    #[test]
    fn the_living_places_of_a_page_are_found_by_their_marks() {
        let places = places(PAGE);
        assert_eq!(places["rows"], [("run_2".into(), "<tr>2</tr>".into()), ("run_1".into(), "<tr>1</tr>".to_owned())]);
        assert_eq!(places["sum"], [("all".to_owned(), "<b>3</b>".to_owned())]);
    }

    #[test]
    fn only_what_differs_is_sent() {
        let old = places(PAGE);
        let new = places(&PAGE.replace("<tr>1</tr>", "<tr>one</tr>").replace("<!--item run_2--><tr>2</tr>", ""));
        assert_eq!(delta(&old, &new), r#"{"rows":{"keys":["run_1"],"html":{"run_1":"<tr>one</tr>"}}}"#);
        assert_eq!(delta(&new, &new), "{}");
    }
}
