//! What came of a span of time: for the summary, and for people who ask.

use serde::{Deserialize, Serialize};

use crate::model::money::{Currency, Money};

/// Money of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takings {
    /// Which.
    pub currency: Currency,
    /// How many sessions were paid.
    pub payments: u32,
    /// What was paid for them, in minor units.
    pub paid: i64,
    /// What of it is the platform's, in minor units.
    pub fees: i64,
    /// How many refunds were made.
    pub refunds: u32,
    /// What was paid back, in minor units.
    pub refunded: i64,
}

impl Takings {
    /// Nothing yet.
    pub const fn none(currency: Currency) -> Self {
        Self { currency, payments: 0, paid: 0, fees: 0, refunds: 0, refunded: 0 }
    }

    /// An amount in this currency.
    pub const fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency)
    }
}

/// A span of time in figures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// By currency.
    pub takings: Vec<Takings>,
    /// Runs that failed within it.
    pub failed_runs: u32,
    /// Cases that are open now.
    pub open_cases: u32,
}
