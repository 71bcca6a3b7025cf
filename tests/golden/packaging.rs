//! What the package says of the gateway agrees with it.

use std::fs;

use synapse_gateway::class::RouteClass;
use synapse_gateway::config::{Source, load};
use synapse_gateway::observe::{Handshake, Metric, Reload, names};

use crate::bless::project;

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_changelog_begins_with_the_version_of_the_crate() {
    let changelog = read("packaging/debian/changelog");
    // A pre-release is older than what it comes before: Debian writes `~` for that.
    let version = env!("CARGO_PKG_VERSION").replace('-', "~");
    let first = changelog.lines().next().unwrap_or_default();
    let revision = first.strip_prefix(&format!("synapse-gateway ({version}-")).and_then(|rest| rest.split_once(") "));
    assert!(revision.is_some_and(|(revision, _)| revision.parse::<u32>().is_ok()), "{first} is not of {version}");
}

#[test]
fn the_template_configures_nothing_and_its_suggestions_are_right() {
    let template = read("packaging/gateway.yaml");
    assert!(template.lines().all(|line| line.is_empty() || line.starts_with('#')), "{template}");
    // A suggestion has no space behind its mark, or those of its indentation; a sentence has one.
    let suggestion = |line: &str| {
        let rest = line.strip_prefix('#')?;
        (!rest.starts_with(' ') || rest.starts_with("  ")).then(|| rest.to_owned())
    };
    let suggested = template.lines().skip_while(|line| !line.is_empty()).filter_map(suggestion).collect::<Vec<_>>();
    let text = suggested.join("\n");
    let (config, problems) = load(&[Source { name: "gateway.yaml".into(), bytes: text.clone().into_bytes() }]);
    assert!(config.is_some_and(|config| config.listeners.len() == 3), "{text}\n{:#?}", problems.as_slice());
    assert!(problems.as_slice().is_empty(), "{:#?}", problems.as_slice());
}

/// The series that a metric appears as: a histogram, which is what has a duration, as three.
fn series(metric: &Metric) -> Vec<String> {
    let is_histogram = metric.name.ends_with("_seconds")
        && !metric.name.contains("time_seconds")
        && !metric.name.contains("timestamp");
    let suffixes: &[&str] = if is_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
    suffixes.iter().map(|suffix| format!("{}{suffix}", metric.name)).collect()
}

/// Every `synapse_gateway_…` in a text, with the labels that are asked of it.
fn asked(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("synapse_gateway_") {
        let rest = text.get(start..).unwrap_or_default();
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let matchers =
            rest.get(name.len()..).and_then(|rest| rest.strip_prefix('{')).and_then(|rest| rest.split_once('}'));
        let labels = matchers.map_or("", |(matchers, _)| matchers).split(", ").filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            Some((label.trim_end_matches('!').to_owned(), value.trim_matches(['~', '"']).to_owned()))
        });
        found.push((name, labels.collect()));
    }
    found
}

#[test]
fn dashboard_and_alerts_ask_for_what_the_gateway_exposes() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("conf/examples/monitoring/grafana.json")).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        expressions.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    assert!(expressions.len() > 20, "the dashboard is not read as it is written");
    let alerts: serde_yaml::Value = serde_yaml::from_str(&read("conf/examples/monitoring/alerts.yaml")).unwrap();
    for rule in alerts["groups"][0]["rules"].as_sequence().unwrap() {
        assert!(rule["annotations"]["summary"].is_string(), "{rule:?}");
        expressions.push(rule["expr"].as_str().unwrap().to_owned());
    }
    let known = |label: &str, value: &str| match label {
        "class" => RouteClass::ALL.iter().any(|class| class.as_str() == value),
        "result" => {
            Reload::ALL.iter().any(|reload| reload.as_str() == value)
                || Handshake::ALL.iter().any(|handshake| handshake.labels()[0] == value)
        }
        _ => true,
    };
    for (name, labels) in expressions.iter().flat_map(|expression| asked(expression)) {
        let metric = names::ALL.iter().find(|metric| series(metric).contains(&name));
        let metric = metric.unwrap_or_else(|| panic!("{name} is not exposed"));
        for (label, value) in labels {
            assert!(label == "instance" || metric.labels.contains(&label.as_str()), "{name} has no label {label}");
            assert!(known(&label, &value), "{name} has no {label} {value}");
        }
    }
}
