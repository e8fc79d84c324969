//! The API of operators, called in process.

use discuno::model::role::Role;
use serde_json::{Value, json};

use crate::support::desk::{Desk, Shown};
use crate::support::{Event, World};

mod acts;
mod lists;
mod many;
mod refusals;
mod same;

/// Somebody at the API.
struct Client(Desk);

impl Client {
    fn of(world: &World, role: Role) -> Self {
        Self(Desk::of(world, role).with("content-type", "application/json"))
    }

    /// Asks for what has to be there.
    async fn get(&self, path: &str) -> Value {
        let answer = self.0.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        body(&answer)
    }

    /// What it is refused with.
    async fn refused(&self, path: &str) -> (u16, Value) {
        let answer = self.0.get(&format!("/api/v1/{path}")).await;
        (answer.status.as_u16(), problem(&answer))
    }

    async fn post(&self, path: &str, with: Value) -> (u16, Value) {
        let answer = self.0.post(&format!("/api/v1/{path}"), &with.to_string()).await;
        (answer.status.as_u16(), body(&answer))
    }
}

fn body(answer: &Shown) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{}", answer.body))
}

/// A refusal, in its own media type and with its status in it.
fn problem(answer: &Shown) -> Value {
    let problem = body(answer);
    assert_eq!(answer.header(http::header::CONTENT_TYPE), "application/problem+json", "{problem}");
    assert_eq!(problem["status"], answer.status.as_u16(), "{problem}");
    problem
}

/// The n-th purchase of a world.
fn purchase(number: usize) -> Event {
    let event = Event::paid(&format!("zoe{number}@example.edu")).id(&format!("evt_{number}"));
    event.session("id", json!(format!("cs_test_{number}"))).session("payment_intent", json!(format!("pi_{number}")))
}

/// The ids of a list, in its order.
fn ids(listing: &Value, list: &str) -> Vec<String> {
    let rows = listing[list].as_array().unwrap_or_else(|| panic!("{listing}"));
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}
