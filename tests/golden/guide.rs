//! The operator's guide names what there is: keys, metrics, causes and fields of the log, and files that load.

use std::collections::BTreeSet;
use std::fs;

use schemars::schema_for;
use serde_json::Value;
use synapse_gateway::config::{ConfigSection, Source, load};
use synapse_gateway::matrix::Cause;
use synapse_gateway::observe::{fields, names};

use crate::bless::{cases, project};

/// Dotted words that are no keys of the configuration: names of Matrix, files and hosts.
const NAMESPACES: [&str; 2] = ["org.matrix.", "m."];
const FILES_AND_HOSTS: [&str; 4] = [".yaml", ".conf", ".json", ".com"];
/// What a part of a configuration is loaded with.
const REST: &str = "server_name: example.com\npublic_baseurl: https://matrix.example.com/\n\
                    listeners: [{address: \"127.0.0.1:8080\"}]\n";

/// The pages of the guide with their names.
fn pages() -> Vec<(String, String)> {
    let page = |path: std::path::PathBuf| (path.display().to_string(), fs::read_to_string(path).unwrap());
    cases("packaging/doc", "md").into_iter().map(page).collect()
}

/// The fenced blocks of a language, without the indentation that they have in a list.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(fence) = lines.next() {
        if fence.trim_start().strip_prefix("```") != Some(language) {
            continue;
        }
        let indent = fence.len() - fence.trim_start().len();
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        found.push(block.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect());
    }
    found
}

/// What stands between single backquotes, outside of blocks.
fn codes(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Words of small letters with dots between them, as `queue.timeout`.
fn is_key_path(code: &str) -> bool {
    let is_word = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains("__");
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    code.contains('.')
        && code.split('.').all(|word| is_word(word) && word.chars().all(is_plain))
        && !NAMESPACES.iter().any(|start| code.starts_with(start))
        && !FILES_AND_HOSTS.iter().any(|end| code.ends_with(end))
}

/// Whether a path of keys leads somewhere in the configuration, through lists and names of the operator's choice too.
fn exists(root: &Value, schema: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let referenced = schema.get("$ref").and_then(Value::as_str);
    let referenced = referenced.and_then(|name| root.pointer(name.trim_start_matches('#')));
    let choices = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let items = schema.get("items").into_iter();
    let property = schema.get("properties").and_then(|properties| properties.get(first));
    let named = schema.get("additionalProperties").filter(|value| value.is_object());
    referenced.into_iter().chain(choices).chain(items).any(|inner| exists(root, inner, path))
        || property.into_iter().chain(named).any(|inner| exists(root, inner, rest))
}

/// The first column of the tables whose head begins with that word.
fn column<'a>(page: &'a str, head: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut wanted = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            wanted &= line.starts_with("|---");
            continue;
        };
        let first = row.split(" |").next().unwrap();
        if wanted {
            found.extend(first.split('`').skip(1).step_by(2));
        }
        wanted |= first == head;
    }
    found
}

#[test]
fn its_configurations_load() {
    let mut loaded = 0;
    for (name, page) in pages() {
        // A block of another program begins with the path of its file.
        for block in blocks(&page, "yaml").iter().filter(|block| !block.starts_with("# /")) {
            let whole = block.lines().any(|line| line == "listeners:");
            let rest = if whole { "" } else { REST };
            let (_, problems) = load(&[Source { name: "gateway.yaml".into(), bytes: (block.clone() + rest).into() }]);
            assert!(!problems.has_errors(), "{name}:\n{block}\n{:#?}", problems.as_slice());
            loaded += usize::from(whole);
        }
    }
    assert!(loaded >= 4, "only {loaded} configurations were found");
}

#[test]
fn its_keys_exist() {
    let schema = schema_for!(ConfigSection).to_value();
    let is_key = |code: &str| exists(&schema, &schema, &code.split('.').collect::<Vec<_>>());
    assert!(is_key("queue.timeout") && is_key("upstreams.main.roles") && is_key("listeners.tls"));
    assert!(!is_key("queue.time_out") && !is_key("queues.timeout") && !is_key("queue.timeout.seconds"));
    let mut seen = BTreeSet::new();
    for (name, page) in pages() {
        for code in codes(&page).into_iter().filter(|code| is_key_path(code)) {
            assert!(is_key(code), "{name}: there is no key {code}");
            seen.insert(code.to_owned());
        }
    }
    assert!(seen.len() > 30, "only {seen:?} were found");
}

#[test]
fn its_metrics_exist_with_their_labels_and_all_are_listed() {
    for (name, page) in pages() {
        for (start, _) in page.match_indices("synapse_gateway_") {
            let rest = page.get(start..).unwrap();
            let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let metric = names::ALL.iter().find(|metric| metric.name == word);
            let metric = metric.unwrap_or_else(|| panic!("{name}: there is no metric {word}"));
            let matchers = rest.get(word.len()..).and_then(|rest| rest.strip_prefix('{')?.split_once('}'));
            for matcher in matchers.map_or("", |(matchers, _)| matchers).split(", ").filter(|it| !it.is_empty()) {
                let label = matcher.split(['=', '!']).next().unwrap();
                assert!(metric.labels.contains(&label), "{name}: {word} has no label {label}");
            }
        }
    }
    let all: BTreeSet<&str> = names::ALL.iter().map(|metric| metric.name).collect();
    let running = fs::read_to_string(project("packaging/doc/running.md")).unwrap();
    assert_eq!(column(&running, "Metric").into_iter().collect::<BTreeSet<_>>(), all);
}

#[test]
fn its_causes_exist_and_all_are_explained() {
    let causes: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    let mut named = 0;
    for (name, page) in pages() {
        for (start, before) in page.match_indices("cause `") {
            let cause = page.get(start + before.len()..).and_then(|rest| rest.split('`').next()).unwrap();
            assert!(causes.contains(cause), "{name}: there is no cause {cause}");
            named += 1;
        }
        if name.ends_with("troubleshooting.md") {
            assert_eq!(column(&page, "Cause").into_iter().collect::<BTreeSet<_>>(), causes);
        }
    }
    assert!(named > 10, "only {named} causes were found");
}

#[test]
fn it_lists_the_fields_of_the_access_log() {
    let fields: BTreeSet<String> = fields().into_iter().map(|field| field.name).collect();
    let running = fs::read_to_string(project("packaging/doc/running.md")).unwrap();
    assert_eq!(column(&running, "Field").into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), fields);
}

#[test]
fn its_links_lead_somewhere() {
    let mut seen = 0;
    for (name, page) in
        pages().into_iter().chain([("README.md".into(), fs::read_to_string(project("README.md")).unwrap())])
    {
        let directory = if name == "README.md" { project("") } else { project("packaging/doc") };
        for (_, rest) in page.match_indices("](").map(|(start, mark)| page.split_at(start + mark.len())) {
            let link = rest.split(')').next().unwrap();
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("https:") {
                continue;
            }
            seen += 1;
            let text = if file.is_empty() { Ok(page.clone()) } else { fs::read_to_string(directory.join(file)) };
            let is_there = text.is_ok() || directory.join(file).is_dir();
            assert!(is_there, "{name}: {link} leads nowhere");
            let headings: Vec<_> = text.unwrap_or_default().lines().filter_map(anchor_of).collect();
            assert!(anchor.is_empty() || headings.iter().any(|it| it == anchor), "{name}: {link} is no heading");
        }
    }
    assert!(seen > 10, "only {seen} links were found");
}

/// The name that a heading has in links.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
}
