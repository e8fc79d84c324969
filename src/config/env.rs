//! Where values come from: flags, the environment, a `.env` file, in this order.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use crate::config::{Problem, Secret, Setting};

/// Reads values by name, remembers their origin and collects everything that is wrong.
pub(super) struct Reader<'a> {
    flags: &'a BTreeMap<String, String>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: &'a BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    pub(super) settings: Vec<Setting>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        flags: &'a BTreeMap<String, String>,
        environment: &'a dyn Fn(&str) -> Option<String>,
        file: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { flags, environment, file, problems: Vec::new(), settings: Vec::new() }
    }

    /// The value under the first of `names` that has one, and where it stood. An empty value counts as missing.
    fn find(&self, names: &[&str]) -> Option<(String, String)> {
        let spelt = names.iter().flat_map(|name| [(*name).to_owned(), format!("NEXT_PUBLIC_{name}")]);
        for name in spelt {
            let places = [
                ("flag", self.flags.get(&name).cloned()),
                ("environment", (self.environment)(&name)),
                (".env", self.file.get(&name).cloned()),
            ];
            for (place, value) in places {
                if let Some(value) = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()) {
                    let origin = if name == names[0] { place.to_owned() } else { format!("{place} ({name})") };
                    return Some((value, origin));
                }
            }
        }
        None
    }

    fn note(&mut self, name: &'static str, value: String, origin: String) {
        self.settings.push(Setting { name, value, origin });
    }

    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(Problem { name: name.to_owned(), message: message.into() });
    }

    /// A text that may be missing.
    pub(super) fn text(&mut self, names: &[&'static str]) -> Option<String> {
        let found = self.find(names);
        let (value, origin) = found.clone().unwrap_or(("-".to_owned(), "not set".to_owned()));
        self.note(names[0], value, origin);
        found.map(|(value, _)| value)
    }

    /// A value with a default.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (text, origin) = self.find(&[name]).unwrap_or((default.to_owned(), "default".to_owned()));
        let value = parse(&text);
        if value.is_none() {
            self.problem(name, format!("`{text}` is not {expected}"));
        }
        self.note(name, text, origin);
        value
    }

    /// A value that reads itself and may be missing.
    pub(super) fn optional<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        let text = self.text(&[name])?;
        let value = text.parse().ok();
        if value.is_none() {
            self.problem(name, format!("`{text}` is not {expected}"));
        }
        value
    }

    /// A value that reads itself.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &'static str, default: &str, expected: &str) -> Option<T> {
        self.value(name, default, expected, |text| text.parse().ok())
    }

    /// The text of what is secret: the value, the content of the file named by `<name>_FILE`, or what systemd hands over.
    fn find_secret(&mut self, names: &[&'static str]) -> Option<(String, String)> {
        let found = self.find(names).or_else(|| {
            let (path, origin) = self.find(&[&format!("{}_FILE", names[0])])?;
            match std::fs::read_to_string(&path) {
                Ok(text) => Some((text.trim().to_owned(), format!("file {path} ({origin})"))),
                Err(error) => {
                    self.problem(names[0], format!("could not read {path}: {error}"));
                    None
                }
            }
        });
        found.or_else(|| self.credential(names[0]))
    }

    /// `LoadCredential=<name>:<file>` in a unit makes it a file of that name, readable by nobody else.
    fn credential(&mut self, name: &str) -> Option<(String, String)> {
        let path = Path::new(&(self.environment)("CREDENTIALS_DIRECTORY")?).join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some((text.trim().to_owned(), "credential".to_owned())).filter(|(text, _)| !text.is_empty()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.problem(name, format!("could not read the credential: {error}"));
                None
            }
        }
    }

    /// A text with secrets in it, none of which is shown.
    pub(super) fn secret_text(&mut self, names: &[&'static str]) -> Option<String> {
        let found = self.find_secret(names);
        let origin = found.as_ref().map_or("not set", |(_, origin)| origin).to_owned();
        self.note(names[0], if found.is_some() { "••••" } else { "-" }.to_owned(), origin);
        found.map(|(text, _)| text)
    }

    /// Secrets: a list.
    pub(super) fn secrets(&mut self, names: &[&'static str]) -> Vec<Secret> {
        let Some((text, origin)) = self.find_secret(names) else {
            self.note(names[0], "-".to_owned(), "not set".to_owned());
            return Vec::new();
        };
        let secrets: Vec<Secret> = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(Secret::new)
            .collect();
        let shown: Vec<String> = secrets.iter().map(Secret::masked).collect();
        self.note(names[0], shown.join(", "), origin);
        secrets
    }

    /// One secret.
    pub(super) fn secret(&mut self, names: &[&'static str]) -> Option<Secret> {
        let mut secrets = self.secrets(names);
        if secrets.len() > 1 {
            self.problem(names[0], "holds more than one value");
        }
        secrets.pop()
    }
}
