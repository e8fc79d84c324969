//! People who pay again and again, and keep a record of what they were promised.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use discuno::entropy::Entropy;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use crate::support::process::{Deployment, checkout, session};

/// What becomes of every third purchase.
pub(crate) const TAGS: [&str; 3] = ["", "+cal-refused", "+cal-refused+refund-refused"];

/// Where people pay, whatever happens behind the door.
pub(crate) struct Street<'a> {
    deployment: &'a Deployment,
    door: watch::Sender<Option<SocketAddr>>,
    /// How many more may begin to pay before the door is opened again.
    places: Semaphore,
    /// So many more each time that it is.
    each_time: usize,
    next: AtomicUsize,
    acknowledged: Mutex<Vec<String>>,
}

impl<'a> Street<'a> {
    /// With `each_time` purchases for each time that the door is opened: on a machine that takes long over it, not more of them.
    pub(crate) fn new(deployment: &'a Deployment, each_time: usize) -> Self {
        Self {
            deployment,
            door: watch::Sender::new(None),
            next: AtomicUsize::new(0),
            places: Semaphore::new(0),
            each_time,
            acknowledged: Mutex::default(),
        }
    }

    /// From now on people pay here.
    pub(crate) fn open_at(&self, address: Option<SocketAddr>) {
        self.door.send_replace(address);
        self.places.add_permits(self.each_time);
    }

    /// Nobody begins to pay any more.
    pub(crate) fn close(&self) {
        self.places.close();
    }

    /// The sessions whose payment was answered 200.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// How many purchases were begun.
    pub(crate) fn begun(&self) -> usize {
        self.next.load(Ordering::SeqCst)
    }

    /// Four people, until the street is closed. Each pays on average this often.
    pub(crate) async fn crowd(&self, pace: Duration, seed: u64) {
        join_all((1..=4).map(|number| self.walk(pace, seed ^ number))).await;
    }

    /// An event without an answer is sent again as Stripe would, or given up.
    async fn walk(&self, pace: Duration, seed: u64) {
        let chance = Entropy::seeded(seed);
        let mut door = self.door.subscribe();
        while let Ok(place) = self.places.acquire().await {
            place.forget();
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let event = checkout(number, TAGS[number % TAGS.len()]);
            loop {
                let at = *door.wait_for(Option::is_some).await.unwrap();
                let answer = self.deployment.pay(at.unwrap(), &event).await;
                if let Some(answer) = answer {
                    assert_eq!(answer.status, 200, "{}", answer.json());
                    self.acknowledged.lock().unwrap().push(session(number));
                    break;
                }
                if chance.below(4) == 0 {
                    break;
                }
                tokio::time::sleep(chance.up_to(pace / 4)).await;
            }
            tokio::time::sleep(chance.up_to(pace * 2)).await;
        }
    }
}
