//! Configurations made of real keys and all sorts of values.

use proptest::prelude::*;
use synapse_gateway::config::{Source, load};
use synapse_gateway::problem::Severity;

/// Lines of the reference file are the richest dictionary of keys that there is.
const REFERENCE: &str = include_str!("../../conf/reference.yaml");

fn key() -> impl Strategy<Value = String> {
    let keys: Vec<String> = REFERENCE
        .lines()
        .map(|line| line.trim_start_matches([' ', '#', '-']))
        .filter_map(|line| line.split_once(':').map(|(key, _)| key.to_owned()))
        .filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect();
    prop_oneof![9 => prop::sample::select(keys), 1 => "[a-z_]{0,12}"]
}

fn scalar() -> impl Strategy<Value = String> {
    let known = [
        "true",
        "no",
        "~",
        "0",
        "-1",
        "1e99",
        "0x10",
        "10KiB",
        "50M",
        "60s",
        "1m 30s",
        "\"[::]:443\"",
        "127.0.0.1:8008",
        "unix:/run/x.sock",
        "example.com",
        "https://example.com/",
        "10.0.0.0/8",
        "\"1.2\"",
        "refuse",
        "[client, federation]",
        "99999999999999999999",
        "\"\"",
        "'it''s'",
        "&a x",
        "*a",
        "!!int 3",
        "{}",
        "[]",
    ];
    prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,20}"]
}

fn document() -> impl Strategy<Value = String> {
    let leaf = scalar();
    let tree = leaf.prop_recursive(4, 40, 6, |inner| {
        let entry = (key(), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            prop::collection::vec(entry, 0..6).prop_map(|entries| format!("{{{}}}", entries.join(", "))),
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    });
    prop::collection::vec((key(), tree), 0..8)
        .prop_map(|entries| entries.into_iter().flat_map(|(key, value)| [key, ": ".to_owned(), value, "\n".to_owned()]))
        .prop_map(Iterator::collect)
}

proptest! {
    #![proptest_config(super::effort())]

    #[test]
    fn a_configuration_is_either_without_errors_or_not_there(text in document()) {
        let (config, problems) = load(&[Source { name: "gateway.yaml".to_owned(), bytes: text.into_bytes() }]);
        prop_assert_eq!(config.is_some(), !problems.has_errors());
        for problem in problems.as_slice().iter().filter(|problem| problem.severity == Severity::Error) {
            prop_assert!(!problem.message.is_empty());
            prop_assert!(problem.to_string().lines().count() == 1, "{problem}");
        }
    }
}
