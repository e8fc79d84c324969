//! Text that never shows up in output.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

/// A secret. It is shown masked, and wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.to_owned()))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `text` is this secret, in a time that does not tell how much of it is.
    pub fn is(&self, text: &str) -> bool {
        verify_slices_are_equal(self.expose().as_bytes(), text.as_bytes()).is_ok()
    }

    /// The same secret, for libraries.
    pub fn to_secret_string(&self) -> SecretString {
        self.0.clone()
    }

    /// What people may see of it: its kind and its end, if it is long enough.
    pub fn masked(&self) -> String {
        let text = self.expose();
        let kind = text.rfind('_').filter(|at| *at < 10).map_or("", |at| &text[..=at]);
        let end: String = text.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        if text.chars().count() >= kind.len() + 12 { format!("{kind}…{end}") } else { "••••".to_owned() }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_its_kind_and_its_end_or_nothing() {
        assert_eq!(Secret::new("whsec_abcdefghijklmnop").masked(), "whsec_…mnop");
        assert_eq!(Secret::new("short").masked(), "••••");
        assert_eq!(format!("{:?}", Secret::new("geheimnis")), "••••");
    }
}
