//! What `discuno sim` says of a broken rule: how it ends, and the command that shows it again. A safeguard is taken out to have one.

use std::process::Command;

/// Runs the program as somebody would, in a folder of its own; its exit status and what it printed.
fn ran(folder: &std::path::Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_discuno")).args(args).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_rule_that_is_broken_is_exit_status_1_with_the_command_that_shows_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (status, said) =
        ran(folder.path(), &["sim", "--mutant", "settle-check", "--seed", "2000", "--seeds", "2000", "--hours", "40"]);
    assert_eq!(status, Some(1), "{said}");
    let line = |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{said}"));
    let (seed, broken) = line("seed ").split_once(" breaks ").unwrap();
    assert!(said.contains("shortened from "), "{said}");

    let again: Vec<&str> = line("again: discuno ").split(' ').collect();
    let given = |name: &str| again.iter().position(|arg| *arg == name).map(|at| again[at + 1]);
    assert_eq!((given("--seed"), given("--hours")), (Some(seed), Some("40")), "{again:?}");
    let (status, said) = ran(folder.path(), &again);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("seed {seed} breaks {broken}")), "{broken} is not seen again: {said}");
    let trace = std::fs::read_to_string(folder.path().join(given("--trace").unwrap())).unwrap();
    assert!(trace.lines().count() > 100, "{trace}");

    // With the safeguard the same history breaks nothing.
    let (status, said) = ran(folder.path(), &["sim", "--seed", seed, "--hours", "40"]);
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn what_was_not_seen_often_enough_is_exit_status_1_too() {
    let folder = tempfile::tempdir().unwrap();
    let (status, said) = ran(folder.path(), &["sim", "--seed", "1", "--require-coverage", "100"]);
    assert!(status == Some(1) && said.contains("seen only 0 times: "), "{said}");
}
