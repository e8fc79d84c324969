//! The rules of the tree, kept by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST: usize = 600;

fn sources(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Who uses whom, from below: a module and all that it imports, each of which stands above it here.
const LAYERS: [(&str, &[&str]); 21] = [
    ("entropy", &[]),
    ("owner", &[]),
    ("transport", &[]),
    ("model", &[]),
    ("mutant", &["model"]),
    ("clock", &["model"]),
    ("logs", &["model"]),
    ("observe", &["entropy", "owner", "transport", "model", "clock"]),
    ("store", &["owner", "model", "mutant", "clock", "observe"]),
    ("config", &["model", "observe", "store"]),
    ("signature", &["model", "config"]),
    ("provider", &["transport", "model", "mutant", "clock", "observe"]),
    ("engine", &["entropy", "model", "mutant", "clock", "observe", "store"]),
    ("ingress", &["model", "mutant", "store", "signature"]),
    ("workflow", &["model", "mutant", "observe", "store", "provider", "engine", "ingress"]),
    ("pauses", &["model", "store", "provider", "workflow"]),
    ("ops", &["transport", "model", "clock", "observe", "store", "provider", "ingress", "pauses"]),
    (
        "web",
        &[
            "entropy",
            "model",
            "mutant",
            "clock",
            "logs",
            "observe",
            "store",
            "config",
            "signature",
            "ingress",
            "pauses",
            "ops",
        ],
    ),
    (
        "app",
        &[
            "entropy",
            "transport",
            "clock",
            "observe",
            "store",
            "config",
            "provider",
            "engine",
            "workflow",
            "pauses",
            "ops",
            "web",
        ],
    ),
    ("sandbox", &["entropy", "transport", "model", "clock"]),
    (
        "sim",
        &[
            "entropy",
            "transport",
            "model",
            "mutant",
            "clock",
            "store",
            "config",
            "signature",
            "engine",
            "workflow",
            "ops",
            "web",
            "app",
            "sandbox",
        ],
    ),
];

/// The modules that a text names after `crate::`.
fn imported(text: &str) -> impl Iterator<Item = &str> {
    let shipped = text.split("#[cfg(test)]").next().unwrap();
    let named = shipped.split("crate::").skip(1);
    named.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap())
}

#[test]
fn imports_go_one_way() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources("src") {
        let place = path.strip_prefix(&root).unwrap().components().next().unwrap().as_os_str().to_str().unwrap();
        let module = place.trim_end_matches(".rs");
        let text = fs::read_to_string(&path).unwrap();
        let imports = found.entry(module.to_owned()).or_default();
        for name in imported(&text).filter(|name| *name != module) {
            assert!(!name.is_empty(), "{} imports from crate:: several modules at once", path.display());
            let (_, allowed) = LAYERS.iter().find(|(known, _)| *known == module).unwrap_or(&("", &[]));
            assert!(allowed.contains(&name), "{} imports {name}", path.display());
            imports.insert(name.to_owned());
        }
    }
    found.remove("lib");
    let mut below = BTreeSet::new();
    for (module, allowed) in LAYERS {
        assert!(allowed.iter().all(|name| below.contains(name)), "{module} imports what stands beside or above it");
        let used = found.remove(module).unwrap_or_default();
        let idle: Vec<&&str> = allowed.iter().filter(|name| !used.contains(**name)).collect();
        assert!(idle.is_empty(), "{module} no longer imports {idle:?}");
        below.insert(module);
    }
    assert!(found.is_empty(), "{:?} stand in no layer", found.keys());
}

#[test]
fn every_workflow_can_be_named() {
    let world = crate::support::World::idle();
    let registry = world.app.registry(&world.providers()).unwrap();
    let mut named = discuno::workflow::NAMES;
    named.sort_unstable();
    assert_eq!(registry.names().collect::<Vec<_>>(), named);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    for dir in ["src", "commands", "tests"] {
        for path in sources(dir) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.lines().count() <= LONGEST, "{} is too long", path.display());
            assert!(text.starts_with("//! "), "{} does not say what it is for", path.display());
        }
    }
}

#[test]
fn sql_stays_in_the_store_and_every_write_begins_immediate() {
    for path in sources("src") {
        let text = fs::read_to_string(&path).unwrap();
        let in_store = path.to_string_lossy().contains("src/store/");
        for word in ["INSERT INTO ", "UPDATE runs", "DELETE FROM ", "SELECT count("] {
            assert!(in_store || !text.contains(word), "{} holds SQL", path.display());
        }
        assert!(!text.contains("BEGIN DEFERRED"), "{}", path.display());
    }
}

#[test]
fn every_setting_is_in_the_table_with_its_default() {
    let none = BTreeMap::new();
    let config = discuno::config::Config::load(&none, &|_| None, &none).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy.md")).unwrap();
    for setting in config.settings {
        let value = if setting.origin == "default" { format!("`{}` ", setting.value) } else { String::new() };
        let row = format!("| `{}` | {value}| ", setting.name);
        assert!(page.lines().any(|line| line.starts_with(&row)), "docs/deploy.md has no row {row}");
    }
}
