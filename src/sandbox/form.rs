//! Form-encoded pairs with nested keys: `metadata[paymentId]=7`, `types[0]=…`, `types[]=…`.

use std::collections::BTreeMap;

/// Decoded pairs in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The last value of `name`; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The values of `name[0]`, `name[1]`, … or `name[]`, in order.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let inside = |key: &str| inner(key, name).is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()));
        self.0.iter().filter(|(key, _)| inside(key)).map(|(_, value)| value.as_str()).collect()
    }

    /// The pairs of `name[key]`.
    pub(super) fn map(&self, name: &str) -> BTreeMap<String, String> {
        self.0.iter().filter_map(|(key, value)| Some((inner(key, name)?.to_owned(), value.clone()))).collect()
    }

    /// The first key that stands neither in `known` nor inside one of them.
    pub(super) fn unknown(&self, known: &[&str]) -> Option<&str> {
        let outer = |key: &str| key.split_once('[').map_or(key.len(), |(name, _)| name.len());
        self.0.iter().map(|(key, _)| key.as_str()).find(|key| !known.contains(&&key[..outer(key)]))
    }

    /// The pairs in an order that does not depend on how they were sent.
    pub(super) fn sorted(&self) -> Vec<(String, String)> {
        let mut pairs = self.0.clone();
        pairs.sort();
        pairs
    }

    /// Appends every pair as `&key=value`, decoded.
    pub(super) fn write(&self, out: &mut String) {
        for (key, value) in &self.0 {
            out.extend(["&", key, "=", value]);
        }
    }
}

fn inner<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_keys_are_lists_or_maps() {
        let form = Form::parse(b"types%5B0%5D=a&types[]=b&metadata[paymentId]=7&amount=500&amount=600&reason=");
        assert_eq!(form.list("types"), ["a", "b"]);
        assert_eq!(form.map("metadata"), [("paymentId".to_owned(), "7".to_owned())].into());
        assert_eq!(form.get("amount"), Some("600"));
        assert_eq!(form.get("reason"), None);
        assert_eq!(form.unknown(&["types", "metadata", "reason"]), Some("amount"));
    }
}
