//! The rules of the tree, kept by a test.

use std::collections::BTreeMap;
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

/// Who may use whom: a module and what it must not import.
const WALLS: [(&str, &[&str]); 11] = [
    (
        "src/model",
        &["store", "engine", "provider", "transport", "workflow", "ingress", "web", "app", "config", "sandbox"],
    ),
    ("src/store", &["engine", "provider", "transport", "workflow", "ingress", "web", "app", "config", "sandbox"]),
    ("src/transport", &["store", "engine", "provider", "workflow", "ingress", "web", "app", "config", "sandbox"]),
    ("src/engine", &["provider", "workflow", "ingress", "web", "app", "config", "sandbox", "transport"]),
    ("src/provider", &["store", "engine", "workflow", "ingress", "web", "app", "config", "sandbox"]),
    ("src/ingress", &["engine", "provider", "workflow", "web", "app", "sandbox", "transport"]),
    ("src/workflow", &["web", "app", "config", "sandbox", "transport"]),
    (
        "src/logs",
        &["store", "engine", "provider", "transport", "workflow", "ingress", "web", "app", "config", "sandbox", "ops"],
    ),
    ("src/ops", &["engine", "workflow", "web", "app", "config", "sandbox"]),
    ("src/web", &["engine", "provider", "workflow", "app", "sandbox", "transport"]),
    ("src/sandbox", &["store", "engine", "provider", "workflow", "ingress", "web", "app", "config"]),
];

#[test]
fn imports_go_one_way() {
    for (place, forbidden) in WALLS {
        for path in sources(place) {
            let text = fs::read_to_string(&path).unwrap();
            let shipped = text.split("#[cfg(test)]").next().unwrap();
            for name in forbidden {
                assert!(!shipped.contains(&format!("crate::{name}::")), "{} imports {name}", path.display());
            }
        }
    }
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
