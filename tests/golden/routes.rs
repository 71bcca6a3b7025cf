//! Which role serves an endpoint, at which release of Synapse: `METHOD TARGET [@RELEASE] [mas] -> ROLE`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use synapse_gateway::role::Role;
use synapse_gateway::routing::{Release, Synapse, Table};

/// Every case of every file, as file, line and what stands there.
fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/routes");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        cases.extend(lines.map(|(number, line)| (format!("{name}:{}", number + 1), line.to_owned())));
    }
    cases
}

/// The row and the role that the table finds.
fn find(table: &Table, case: &str) -> (Option<&'static str>, Role) {
    let mut words = case.split(' ');
    let method = words.next().unwrap().parse().unwrap();
    let target = words.next().unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut synapse = Synapse { release: Release::NEWEST, delegated: false };
    for word in words {
        match word.strip_prefix('@') {
            Some(release) => synapse.release = release.parse().unwrap(),
            None => synapse.delegated = word == "mas",
        }
    }
    let found = table.find(&method, path, query, synapse);
    (found.map(|endpoint| endpoint.id), found.map_or(Role::Main, |endpoint| endpoint.role))
}

#[test]
fn endpoints_go_to_the_role_that_serves_them() {
    let table = Table::default();
    let mut wrong = Vec::new();
    for (place, case) in cases() {
        let (asked, expected) = case.split_once(" -> ").unwrap();
        let (_, role) = find(&table, asked);
        if role.as_str() != expected {
            wrong.push(format!("{place}: {asked} goes to {role}, not to {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_has_a_case() {
    let table = Table::default();
    let met: HashSet<_> =
        cases().iter().filter_map(|(_, case)| find(&table, case.split_once(" -> ").unwrap().0).0).collect();
    let missing: Vec<_> = table.endpoints().filter(|id| !met.contains(id)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
