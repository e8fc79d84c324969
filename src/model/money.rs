//! Amounts of money: an integer in the currency's minor unit, never a float.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ParseError;

/// An ISO 4217 code, kept in upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Currencies whose amounts Stripe takes in whole units
/// (docs.stripe.com/currencies; UGX is listed there as zero-decimal and yet charged with two decimals, as ISK is).
const ZERO_DECIMAL: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
const THREE_DECIMAL: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// The code in upper case.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimals the minor unit stands for.
    pub fn exponent(&self) -> u32 {
        let code = self.code();
        if ZERO_DECIMAL.contains(&code) {
            0
        } else if THREE_DECIMAL.contains(&code) {
            3
        } else {
            2
        }
    }
}

impl std::str::FromStr for Currency {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bytes: [u8; 3] = text
            .as_bytes()
            .try_into()
            .ok()
            .filter(|bytes: &[u8; 3]| bytes.iter().all(u8::is_ascii_alphabetic))
            .ok_or_else(|| ParseError { what: "currency", text: text.to_owned() })?;
        Ok(Self(bytes.map(|byte| byte.to_ascii_uppercase())))
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$" })
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount with its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// Minor units: cents for USD, yen for JPY, fils for KWD.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// An amount in minor units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads an amount as it is shown, with or without its currency: `12.50`, `12.50 USD`, `12`. Never more digits than the
    /// currency has.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, ParseError> {
        let refuse = || ParseError { what: "amount", text: text.to_owned() };
        let digits = text.trim();
        let digits = digits.strip_suffix(currency.code()).unwrap_or(digits).trim_end();
        let (whole, part) = match digits.split_once('.') {
            Some((_, "")) => return Err(refuse()),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let exponent = currency.exponent() as usize;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || part.len() > exponent || !plain(whole) || !plain(part) {
            return Err(refuse());
        }
        format!("{whole}{part:0<exponent$}").parse().map(|minor| Self { minor, currency }).map_err(|_| refuse())
    }

    /// How much of `share` falls on `part` of this amount, all in minor units and rounded down; all of it where nothing was to be paid.
    pub fn share_of(self, share: i64, part: i64) -> i64 {
        let due = i128::from(share) * i128::from(part) / i128::from(self.minor.max(1));
        i64::try_from(due).unwrap_or(share)
    }

    /// The difference, or `None` on overflow or if the currencies differ.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        (self.currency == other.currency)
            .then(|| self.minor.checked_sub(other.minor))
            .flatten()
            .map(|minor| Self { minor, ..self })
    }
}

impl std::fmt::Display for Money {
    /// `50.00 USD`, `5000 JPY`, `5.000 KWD`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exponent = self.currency.exponent();
        let scale = 10_u64.pow(exponent);
        let sign = if self.minor < 0 { "-" } else { "" };
        let whole = self.minor.unsigned_abs() / scale;
        let part = self.minor.unsigned_abs() % scale;
        let text = match exponent {
            0 => format!("{sign}{whole} {}", self.currency),
            digits => format!("{sign}{whole}.{part:0width$} {}", self.currency, width = digits as usize),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn money(minor: i64, code: &str) -> String {
        Money::new(minor, code.parse().unwrap()).to_string()
    }

    #[test]
    fn amounts_use_the_exponent_of_their_currency() {
        assert_eq!(money(5000, "usd"), "50.00 USD");
        assert_eq!(money(5, "USD"), "0.05 USD");
        assert_eq!(money(-1950, "EUR"), "-19.50 EUR");
        assert_eq!(money(5000, "jpy"), "5000 JPY");
        assert_eq!(money(5000, "KWD"), "5.000 KWD");
        assert_eq!(money(i64::MIN, "USD"), "-92233720368547758.08 USD");
    }

    #[test]
    fn an_amount_with_too_many_digits_is_refused() {
        for text in ["12.345", "1.", ".5", "", "1e2", "-1", "1,00", "5 EUR", "99999999999999999999"] {
            assert!(Money::parse(text, Currency::USD).is_err(), "{text}");
        }
        assert_eq!(Money::parse("7", Currency::USD).unwrap().minor, 700);
        assert_eq!(Money::parse("7.5 USD", Currency::USD).unwrap().minor, 750);
        assert!(Money::parse("7.0", "JPY".parse().unwrap()).is_err());
    }

    #[test]
    fn subtraction_needs_one_currency() {
        let usd = Money::new(100, Currency::USD);
        assert_eq!(usd.checked_sub(Money::new(40, Currency::USD)), Some(Money::new(60, Currency::USD)));
        assert_eq!(usd.checked_sub(Money::new(1, "EUR".parse().unwrap())), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_is_held(minor in any::<i64>(), code in prop::sample::select(vec!["USD", "JPY", "KWD"])) {
            let shown = money(minor, code);
            let digits: String = shown.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
            prop_assert_eq!(digits.parse::<i128>().unwrap(), i128::from(minor));
        }

        #[test]
        fn an_amount_reads_back_as_it_is_shown(minor in 0..i64::MAX, code in prop::sample::select(vec!["USD", "JPY", "KWD"])) {
            let amount = Money::new(minor, code.parse().unwrap());
            prop_assert_eq!(Money::parse(&amount.to_string(), amount.currency), Ok(amount));
        }

        #[test]
        fn any_text_is_an_amount_or_an_error(text in "[-+0-9., eUSD]{0,8}") {
            if let Ok(amount) = Money::parse(&text, Currency::USD) {
                prop_assert!(amount.minor >= 0 && !text.contains([',', '-', '+', 'e']));
            }
        }

        #[test]
        fn any_text_is_a_currency_or_an_error(text in ".{0,5}") {
            if let Ok(currency) = text.parse::<Currency>() {
                prop_assert_eq!(currency.code(), text.to_ascii_uppercase());
            }
        }
    }
}
