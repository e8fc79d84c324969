//! Identifiers of our own rows: a number from the store behind a readable prefix.
//!
//! They are local to one database and never leave for a provider: what a provider sees is derived from its own ids.

use crate::model::ParseError;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident $prefix:literal $what:literal;)+) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// What the id starts with when it is shown.
            pub const PREFIX: &'static str = $prefix;
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                text.strip_prefix($prefix)
                    .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| ParseError { what: $what, text: text.to_owned() })
            }
        }

        impl From<i64> for $name {
            fn from(number: i64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "[0-9]{1,18}$") })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+ };
}

ids! {
    /// An [`Event`](crate::model::event::Event) that came in.
    EventId "ev_" "event id";
    /// A [`Payment`](crate::model::payment::Payment).
    PaymentId "pay_" "payment id";
    /// A [`Refund`](crate::model::refund::Refund).
    RefundId "rf_" "refund id";
    /// An [`Alert`](crate::model::alert::Alert).
    AlertId "alert_" "alert id";
    /// A [`Booking`](crate::model::booking::Booking).
    BookingId "bk_" "booking id";
    /// A [`Run`](crate::model::run::Run).
    RunId "run_" "run id";
    /// A [`Case`](crate::model::case::Case).
    CaseId "case_" "case id";
    /// A [`Mail`](crate::model::mail::Mail).
    MailId "mail_" "mail id";
    /// A [`Transfer`](crate::model::transfer::Transfer).
    TransferId "tf_" "transfer id";
    /// Something an operator did.
    ActId "act_" "act id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_is_shown() {
        assert_eq!("run_42".parse(), Ok(RunId(42)));
        assert_eq!(RunId(42).to_string(), "run_42");
    }

    #[test]
    fn a_foreign_or_broken_id_is_refused() {
        for text in ["", "run_", "run_-1", "run_1x", "pay_1", "run_99999999999999999999"] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
