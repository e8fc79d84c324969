//! Where traces go, by the variables that every OpenTelemetry program reads.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::config::env::Reader;
use crate::config::{Problems, address};
use crate::observe::trace::Settings;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

impl Settings {
    /// From the environment alone; none if no collector is named.
    pub fn from_environment() -> Result<Option<Self>, Problems> {
        let (nothing, environment) = (BTreeMap::default(), |name: &str| std::env::var(name).ok());
        let mut read = Reader::new(&nothing, &environment, &nothing);
        let settings = self::read(&mut read);
        if read.problems.is_empty() { Ok(settings) } else { Err(Problems(read.problems)) }
    }
}

/// None if no collector is named, or something cannot be read.
pub(super) fn read(read: &mut Reader<'_>) -> Option<Settings> {
    let endpoint = read.text(&[ENDPOINT]);
    let headers = read.secret_text(&[HEADERS]);
    let service = read.parsed::<String>("OTEL_SERVICE_NAME", "discuno", "a name");
    let parsed = address(endpoint.as_deref()?);
    if parsed.is_none() {
        read.problem(ENDPOINT, "is not an http(s) address");
    }
    // It is shown, logged and told in errors.
    if parsed.as_ref().is_some_and(|url| url.password().is_some()) {
        read.problem(ENDPOINT, format!("must not hold a password: {HEADERS} is where it belongs"));
    }
    let pairs = headers.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let headers: Option<Vec<_>> = pairs.map(header).collect();
    if headers.is_none() {
        read.problem(HEADERS, "is not a list such as name=value,name=value");
    }
    Some(Settings { endpoint: parsed?, headers: headers?, service: service? })
}

/// `name=value`, where the value may be percent-encoded (opentelemetry.io/docs/specs/otel/protocol/exporter).
fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let mut value = HeaderValue::from_str(&decoded(value.trim())?).ok()?;
    value.to_str().ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.extend(hex::decode(code).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of an endpoint and headers, and what is said against them.
    fn load(endpoint: &str, headers: &str) -> (Option<Settings>, String) {
        let file = [(ENDPOINT, endpoint), (HEADERS, headers)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (flags, file) = (BTreeMap::new(), file.into());
        let mut reader = Reader::new(&flags, &|_| None, &file);
        let settings = read(&mut reader);
        // Where there are problems no setting is shown.
        let shown = format!("{settings:?}{:?}", reader.settings);
        assert!(!reader.problems.is_empty() || !shown.contains("geheim"), "{shown}");
        (settings, Problems(reader.problems).to_string())
    }

    #[test]
    fn headers_are_read_as_the_standard_writes_them_and_never_shown() {
        let (settings, _) = load("https://otel.example:4318", "authorization=Bearer%20geheim, x-scope=a=b");
        let headers = settings.unwrap().headers;
        assert_eq!(headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["authorization", "x-scope"]);
        assert_eq!(headers[0].1, "Bearer geheim");
        assert_eq!(headers[1].1, "a=b");
    }

    #[test]
    fn what_cannot_be_used_is_a_problem_and_no_secret_with_it() {
        for (endpoint, headers, name) in [
            ("otel.example:4318", "", ENDPOINT),
            ("https://mia:geheim@otel.example", "", ENDPOINT),
            ("https://otel.example", "geheim", HEADERS),
            ("https://otel.example", "a=%2geheim", HEADERS),
            ("https://otel.example", "a=%0ageheim", HEADERS),
        ] {
            let problems = load(endpoint, headers).1;
            assert!(problems.contains(name) && !problems.contains("geheim"), "{endpoint} {headers}: {problems}");
        }
        assert!(load("", "").0.is_none());
    }
}
