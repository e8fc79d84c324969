//! Takes out of a provider's text what does not belong in a log or a case.

use crate::provider::ProviderName;

const LONGEST: usize = 300;
/// How keys begin; `re_` is handled apart, since Stripe's refunds begin like Resend's keys.
const KEYS: [&str; 8] = ["sk_", "rk_", "pk_", "whsec_", "phc_", "phx_", "cal_", "Bearer"];

/// One line of at most 300 characters, first letter small, without addresses, phone numbers, keys, control characters
/// and the `private` words of the caller (names, mostly: nothing else can tell them from other words).
pub(crate) fn redact(text: &str, provider: ProviderName, private: &[&str]) -> String {
    let mut text = text.to_owned();
    for word in private.iter().filter(|word| word.chars().count() > 1) {
        text = text.replace(word, "[private]");
    }
    let mut clean = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(mask(word, provider).unwrap_or(word));
    }
    let mut chars = clean.chars();
    let first: String = chars.next().map(|c| c.to_lowercase().collect()).unwrap_or_default();
    first.chars().chain(chars).take(LONGEST).collect()
}

fn mask(word: &str, provider: ProviderName) -> Option<&'static str> {
    let bare = |prefix: &str| word.match_indices(prefix).any(|(at, _)| starts_a_token(word, at));
    if word.contains('@') {
        Some("[address]")
    } else if KEYS.iter().any(|prefix| bare(prefix)) || (provider != ProviderName::Stripe && bare("re_")) {
        Some("[key]")
    } else if is_phone(word) {
        Some("[phone]")
    } else {
        None
    }
}

fn starts_a_token(word: &str, at: usize) -> bool {
    word[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '_')
}

fn is_phone(word: &str) -> bool {
    word.find('+').is_some_and(|at| word[at..].chars().filter(char::is_ascii_digit).count() >= 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_phones_and_keys_are_masked() {
        let text = "Invalid API Key provided: sk_test_abc for <zoe@example.edu>, call (+15555550123) \"whsec_x\"";
        let clean = redact(text, ProviderName::Stripe, &[]);
        assert_eq!(clean, "invalid API Key provided: [key] for [address] call [phone] [key]");
    }

    #[test]
    fn a_refund_id_survives_at_stripe_and_a_resend_key_does_not_at_resend() {
        assert_eq!(redact("see re_3Sx", ProviderName::Stripe, &[]), "see re_3Sx");
        assert_eq!(redact("key re_3Sx", ProviderName::Resend, &[]), "key [key]");
    }

    #[test]
    fn ordinary_words_are_left_alone() {
        let text = "attempting to refund_application_fee on ch_1, task_1 at risk_level 2026-11-12T15:00:00+00:00";
        assert_eq!(redact(text, ProviderName::Stripe, &[]), text);
    }

    #[test]
    fn private_words_lines_and_length_are_taken_out() {
        let clean = redact("Zoë O’Connor\r\nis \u{1b}[31mbusy", ProviderName::Cal, &["Zoë O’Connor", ""]);
        assert_eq!(clean, "[private] is [31mbusy");
        assert_eq!(redact(&"x".repeat(900), ProviderName::Cal, &[]).len(), 300);
    }
}
