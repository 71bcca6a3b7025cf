use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_yaml::Value;

use super::*;
use crate::role::Role;
use crate::routing::Watch;
use crate::yaml::resolve;

/// A root that takes anything below `open`, and a list of numbers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Root {
    open: BTreeMap<String, serde_json::Value>,
    numbers: Vec<u8>,
    words: BTreeMap<String, String>,
}

/// Loads one file and returns what was read and the problems, as they are printed.
fn check(bytes: impl Into<Vec<u8>>) -> (Option<Root>, Vec<String>) {
    let sources = [Source { name: "f".to_owned(), bytes: bytes.into() }];
    let (root, problems) = load_as(&sources, |root: Root, _| Some(root));
    assert_eq!(root.is_none(), problems.has_errors());
    (root, problems.as_slice().iter().map(ToString::to_string).collect())
}

#[test]
fn a_file_of_a_mebibyte_is_read_and_a_larger_one_is_not() {
    let comment = |size: usize| [b"numbers: [1]\n#".to_vec(), vec![b'x'; size - 14]].concat();
    assert!(check(comment(1 << 20)).0.is_some());
    let (_, problems) = check(comment((1 << 20) + 1));
    assert_eq!(problems, ["f:1:1: error: the file is larger than 1 MiB; name the gateway's own configuration file"]);
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_at_the_first_wrong_byte() {
    let (_, problems) = check(b"words:\n  \xc3\xa4: Gr\xfc\xdfe\n");
    assert_eq!(problems, ["f:2:8: error: the file is not UTF-8 text; save it as UTF-8"]);
    let utf_16: Vec<u8> = "\u{feff}numbers: [1]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(check(utf_16).1, ["f:1:1: error: the file is not UTF-8 text; save it as UTF-8"]);
}

#[test]
fn columns_count_characters() {
    let (_, problems) = check("open: {ä: ü, ö: 1, ö: 2}\n");
    assert_eq!(problems, ["f:1:20: error: open.ö: is set a second time, after line 1; remove one of the two"]);
}

#[test]
fn the_number_of_values_is_bounded() {
    let list = |items: usize| format!("open: {{a: [{}1]}}", "1,".repeat(items - 1));
    assert!(check(list(99_000)).0.is_some());
    let (_, problems) = check(list(100_000));
    assert!(matches!(&problems[..], [only] if only.contains("more than 100000 values")), "{problems:?}");
}

#[test]
fn nesting_is_bounded_in_every_form() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("- ? ", "")] {
        let text = format!("open:\n  {}1{}", open.repeat(1000), close.repeat(1000));
        let (_, problems) = check(text);
        assert!(
            matches!(&problems[..], [only] if only.contains("nesting") || only.contains("cannot be read")),
            "{open}"
        );
    }
}

#[test]
fn a_file_full_of_problems_tells_the_first_hundred() {
    let keys: Vec<_> = (0..40_000).map(|index| format!("key{index}: 1\n")).collect();
    let (_, problems) = check(keys.concat());
    assert_eq!(problems.len(), 101, "{problems:#?}");
    assert_eq!(problems[100], "error: there are more than 100 problems; mend these first");
    let (_, problems) = check(format!("numbers: [{}]", "x, ".repeat(5_000)));
    assert_eq!(problems.len(), 101, "{problems:#?}");
}

#[test]
fn items_keep_their_index_after_one_that_was_refused() {
    let sources = [Source { name: "f".to_owned(), bytes: "numbers: [1, x, 2, 300, 3]".into() }];
    let (_, problems) = load_as(&sources, |root: Root, problems| {
        for (index, number) in root.numbers.iter().enumerate() {
            problems.warning(format!("numbers[{index}]"), format!("is {number}"), "");
        }
        Some(())
    });
    let told: Vec<_> = problems.as_slice().iter().map(|problem| (problem.path.as_str(), &*problem.message)).collect();
    assert_eq!(told[0], ("numbers[0]", "is 1"));
    assert_eq!(told[2], ("numbers[2]", "is 2"));
    assert_eq!(told[4], ("numbers[4]", "is 3"));
    assert!(told[1].0 == "numbers[1]" && told[3].0 == "numbers[3]", "{told:?}");
}

#[test]
fn a_scalar_means_what_it_means_to_serde_yaml() {
    let texts = [
        "1",
        "-1",
        "+1",
        "007",
        "0x1f",
        "0o17",
        "0b101",
        "1_000",
        "1e3",
        "1.5",
        ".5",
        ".inf",
        "-.INF",
        ".nan",
        "18446744073709551615",
        "yes",
        "on",
        "True",
        "TRUE",
        "tRUE",
        "null",
        "Null",
        "~",
        "nil",
        "12:30",
        "2026-01-01",
        "a",
        "0",
        "-0",
        "00",
        "1.2.3.4",
    ];
    for text in texts {
        assert_eq!(Some(resolve(text)), serde_yaml::from_str::<Value>(text).ok(), "{text}");
    }
}

#[test]
fn every_section_refuses_keys_that_it_does_not_know() {
    fn look(schema: &serde_json::Value, path: &str) {
        if let Some(properties) = schema.get("properties").and_then(|found| found.as_object()) {
            assert_eq!(schema.get("additionalProperties"), Some(&false.into()), "{path} ignores unknown keys");
            for (key, property) in properties {
                // Else the card is that of the type, which is looked at below.
                let is_typed = property.to_string().contains("$ref");
                assert!(is_typed || property.get("description").is_some(), "{path}.{key} has no card");
                look(property, &format!("{path}.{key}"));
            }
        }
        for (name, definition) in schema.get("$defs").and_then(|found| found.as_object()).into_iter().flatten() {
            assert!(definition.get("description").is_some(), "{name} has no card");
            look(definition, name);
        }
    }
    look(&schemars::schema_for!(ConfigSection).to_value(), "");
}

#[test]
fn a_server_name_gives_the_base_url_as_in_synapse() {
    let built = |text: &str| {
        let text = format!("listeners: [{{address: \"127.0.0.1:8080\"}}]\n{text}");
        let (config, problems) = load(&[Source { name: "f".to_owned(), bytes: text.into() }]);
        assert_eq!(problems.as_slice(), []);
        config.unwrap().gateway.well_known
    };
    let derived = built("server_name: example.com");
    assert_ne!(derived, built("version: 1"));
    assert_eq!(derived, built("server_name: example.com\npublic_baseurl: https://example.com/"));
}

/// Text with the shapes of YAML, of which much can be read and much cannot.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n"),
        Just("  "),
        Just("- "),
        Just(": "),
        Just("? "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(","),
        Just("\""),
        Just("'"),
        Just("|\n"),
        Just(">-\n"),
        Just("&a "),
        Just("*a"),
        Just("<<"),
        Just("!t "),
        Just("---\n"),
        Just("...\n"),
        Just("# "),
        Just("\t"),
        Just("%YAML 1.2\n"),
        Just("\u{feff}"),
        Just("open"),
        Just("numbers"),
        Just("words"),
        Just("1"),
        Just("ü"),
        Just("\\x"),
        Just("\r\n"),
        Just("\u{85}"),
        Just("\0"),
        Just("\\"),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_strange_to_be_judged(text in yamlish()) {
        check(text);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(bytes);
    }

    #[test]
    fn what_serde_yaml_reads_in_one_line_is_read_alike(text in "[ -~]{0,12}") {
        let line = format!("words: {{a: '{}'}}", text.replace('\'', "''"));
        let (root, problems) = check(line.clone());
        prop_assert!(problems.is_empty(), "{problems:?}");
        let expected: BTreeMap<String, BTreeMap<String, String>> = serde_yaml::from_str(&line).unwrap();
        prop_assert_eq!(root.map(|root| root.words), expected.get("words").cloned());
    }

    #[test]
    fn any_word_means_what_it_means_to_serde_yaml(text in "[-+.0-9a-zA-Z_]{1,8}") {
        // These are no words, but the marks between documents.
        prop_assume!(!matches!(text.as_str(), "---" | "..."));
        let expected = serde_yaml::from_str::<Value>(&text);
        if let Some(expected) = expected.ok().filter(|value| !value.is_sequence()) {
            prop_assert_eq!(resolve(&text), expected);
        }
    }
}

#[test]
fn the_step_by_which_other_servers_find_this_one_is_told() {
    const TLS: &str = "tls: {cert: /c.pem, key: /k.pem}\n";
    let check = |text: &str, expected: &[&str]| {
        let source = Source { name: "f".to_owned(), bytes: format!("{TLS}{text}").into() };
        let config = load(&[source]).0.unwrap();
        let steps = delegation(&config);
        assert_eq!(steps.len(), expected.len(), "{steps:?}");
        for (step, part) in steps.iter().zip(expected) {
            assert!(step.contains(part), "{step} lacks {part}");
        }
    };
    let on = |ports: &[u16]| {
        let listeners: Vec<String> =
            ports.iter().map(|port| format!("{{address: \"[::]:{port}\", tls: true}}")).collect();
        format!("listeners: [{}]\n", listeners.join(", "))
    };
    let delegated = "server_name: a.example\npublic_baseurl: https://m.a.example/\n";
    check(
        &format!("{}{delegated}", on(&[443])),
        &["answers with m.a.example:443", "SRV", "does not serve federation on port 8448"],
    );
    check(&format!("{}{delegated}", on(&[443, 8448])), &["answers with", "SRV", "not needed while step 3"]);
    check(
        &format!("{}{delegated}", on(&[8448])),
        &["does not serve on port 443", "SRV", "this gateway serves federation on port 8448"],
    );
    check(
        &format!("{}server_name: \"a.example:8449\"\n", on(&[8449])),
        &["2. it names a port: they connect to a.example:8449, this gateway serves"],
    );
    check(
        &format!("{}server_name: 192.0.2.1\n", on(&[443])),
        &["1. it is an address: they connect to 192.0.2.1:8448, this gateway does not"],
    );
    check(&on(&[443]), &["`server_name` is not set"]);
}

#[test]
fn what_is_derived_holds_where_nothing_is_written() {
    let file = |name: &str, text: &str| Source { name: name.to_owned(), bytes: text.into() };
    let own = file(
        "own",
        "listeners: [{address: 'h:1'}]\nserver_name: own.example\n\
         upstreams: {main: {address: 'h:2'}, w: {roles: [sync]}}\n",
    );
    let derived = file(
        "derived",
        "server_name: other.example\npublic_baseurl: https://other.example/\n\
         upstreams:\n  main: {address: 'h:3', resources: [client]}\n  w: {address: 'h:4', roles: [sso]}\n  v: {address: nowhere}\n",
    );
    let (_, problems) = load_with(std::slice::from_ref(&own), Some(&derived), |_, _| ());
    let told: Vec<String> = problems.as_slice().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("own:1:14: error: listeners[0].address"), "{told:?}");
    assert!(told[1].starts_with("derived:6:7: error: upstreams.v.address"), "{told:?}");

    let own =
        file("own", "listeners: [{address: '127.0.0.1:1'}]\nupstreams: {main: {address: 'h:2'}, w: {roles: [sync]}}\n");
    let derived = file(
        "derived",
        "server_name: other.example\nupstreams: {main: {address: 'h:3'}, w: {address: 'h:4', roles: [sso, login]}}\n",
    );
    let (config, problems) = load_with(&[own], Some(&derived), |_, _| ());
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(config.server_name.as_deref(), Some("other.example"));
    let upstreams = config.gateway.upstreams.as_slice();
    let told: Vec<_> = upstreams.iter().map(|one| (one.address.to_string(), one.roles.clone())).collect();
    assert_eq!(told, [("h:2".to_owned(), vec![Role::Main]), ("h:4".to_owned(), vec![Role::Sync])]);
}

#[test]
fn where_synapse_is_configured_is_known_before_the_rest_is_right() {
    let files = |yaml: &str| synapse_files(&[Source { name: "f".to_owned(), bytes: yaml.into() }]);
    let expected = |config: &[&str], workers: &[&str], watch| {
        let paths = |list: &[&str]| list.iter().map(Into::into).collect();
        Some(SynapseFiles { config: paths(config), workers: paths(workers), watch })
    };
    assert_eq!(files("synapse: /etc/s\nnonsense: 1\n"), expected(&["/etc/s"], &[], Watch::Notify));
    assert_eq!(
        files("synapse: {config: [/a.yaml, /b], workers: /w, watch: apply}\n"),
        expected(&["/a.yaml", "/b"], &["/w"], Watch::Apply)
    );
    for none in ["threads: 1\n", "synapse: {version: '1.163'}\n", "synapse: 1\n", "synapse: [\n"] {
        assert_eq!(files(none), None, "{none}");
    }
}
