//! Where values come from: flags, the environment, a `.env` file, in this order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::{ENV_FILE, Problem, Secret, Setting};
use crate::store::postgres::Address;

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
                (ENV_FILE, self.file.get(&name).cloned()),
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

    /// Where the data is: a file, or a server, whose password is not shown. The original's `DATABASE_URL` counts where
    /// nothing else is said and no file is there that it would leave behind.
    pub(super) fn database(&mut self) -> (PathBuf, Option<Address>) {
        const FILE: &str = "discuno.db";
        let chosen = self.find(&["DISCUNO_DB"]);
        let original = || self.find(&["DATABASE_URL"]).filter(|(text, _)| is_server(text));
        let of_original = chosen.is_none().then(original).flatten();
        if of_original.is_some() && Path::new(FILE).exists() {
            self.problem("DISCUNO_DB", format!("is not set, and both {FILE} and DATABASE_URL are there: say which"));
        }
        let origin_of = |origin: String| format!("{origin} (DATABASE_URL)");
        let found = chosen.or(of_original.map(|(text, origin)| (text, origin_of(origin))));
        let (text, origin) = found.unwrap_or_else(|| (FILE.to_owned(), "default".to_owned()));
        if is_server(&text) {
            let address = text.parse::<Address>();
            let shown = address.as_ref().map_or_else(|_| "-".to_owned(), Address::to_string);
            self.note("DISCUNO_DB", shown, origin);
            let address = address.map_err(|error| self.problem("DISCUNO_DB", error)).ok();
            return (PathBuf::new(), address);
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(&text).to_owned();
        self.note("DISCUNO_DB", path.clone(), origin);
        (PathBuf::from(path), None)
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

fn is_server(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}
