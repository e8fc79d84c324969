//! The nouns: pure values without I/O, SQL or HTTP.

pub mod account;
pub mod act;
pub mod alert;
pub mod booking;
pub mod capture;
pub mod case;
pub mod checkout;
pub mod dispute;
pub mod event;
pub mod failure;
pub mod id;
pub mod idempotency;
pub mod lease;
pub mod mail;
pub mod money;
pub mod notice;
pub mod pause;
pub mod payment;
pub mod policy;
pub mod refund;
pub mod refusal;
pub mod role;
pub mod run;
pub mod step;
pub mod takings;
pub mod time;
pub mod transfer;

/// A value of a closed set (a state, a kind) could not be read from its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a known {what}")]
pub struct ParseError {
    /// What was being read, for example `run state`.
    pub what: &'static str,
    /// The text as it was found.
    pub text: String,
}

/// Declares a closed set of words with one spelling for code, tables, JSON and logs.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands in tables, JSON and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => {
                        let what = concat!($what, "; known are" $(, " ", $text)+);
                        Err($crate::model::ParseError { what, text: text.to_owned() })
                    }
                }
            }
        }
    };
}
pub(crate) use words;
