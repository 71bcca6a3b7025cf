//! What is derived from Synapse's configuration. A case is a file with those of Synapse, each after a line
//! `#--- NAME`, and at the end, after `#--- derived` and `#--- problems`, what is expected.

use std::fs;

use synapse_gateway::config::{Source, load_with};
use synapse_gateway::derive::{Derived, Kind, derive, kind};

use crate::bless::{Differences, cases};

const DERIVED: &str = "#--- derived\n";

/// The files of a case, in their order.
fn files(text: &str) -> (Vec<Source>, &str) {
    let end = text.find(DERIVED).unwrap_or(text.len());
    let (input, _) = text.split_at(end);
    let mut sources: Vec<Source> = Vec::new();
    for line in input.lines() {
        match line.strip_prefix("#--- ") {
            Some(name) => sources.push(Source { name: name.to_owned(), bytes: Vec::new() }),
            None => {
                if let Some(source) = sources.last_mut() {
                    source.bytes.extend_from_slice(line.as_bytes());
                    source.bytes.push(b'\n');
                }
            }
        }
    }
    (sources, input)
}

fn derived(sources: Vec<Source>) -> Derived {
    let (mut main, mut workers) = (Vec::new(), Vec::new());
    for source in sources {
        match kind(&source) {
            Kind::Main => main.push(source),
            Kind::Worker => workers.push(source),
            Kind::Other => {}
        }
    }
    derive(&main, &workers)
}

#[test]
fn synapse_s_configuration_says_what_the_gateway_needs() {
    let mut differences = Differences::default();
    for path in cases("tests/golden/derive", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let (sources, input) = files(&text);
        let derived = derived(sources);
        let told: Vec<String> = derived.problems().as_slice().iter().map(|problem| format!("# {problem}\n")).collect();
        let page = derived.text().unwrap_or("# Nothing.\n");
        differences.compare(&path, &format!("{input}{DERIVED}{page}#--- problems\n{}", told.concat()));

        let shown = format!("{page}{}", told.concat());
        assert!(!shown.contains("secret"), "{}: a secret is told:\n{shown}", path.display());
        if let Some(text) = derived.text() {
            let own = Source { name: "own".to_owned(), bytes: b"listeners: [{address: '127.0.0.1:1'}]\n".to_vec() };
            let derived = Source { name: "derived".to_owned(), bytes: text.into() };
            let problems = load_with(&[own], Some(&derived), |_, _| ()).1;
            assert!(!problems.has_errors(), "{}: {:#?}\n{text}", path.display(), problems.as_slice());
        }
    }
    differences.finish();
}

/// Each break is in one place, as a slip of the hand is.
#[test]
fn no_secret_is_told_however_broken_a_file_is() {
    let mut broken_files = 0;
    for path in cases("tests/golden/derive", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let sources = files(&text).0;
        let homeserver = String::from_utf8(sources[0].bytes.clone()).unwrap();
        let places: Vec<usize> = homeserver.char_indices().map(|(place, _)| place).collect();
        for (number, &place) in places.iter().enumerate().step_by(17) {
            let (before, after) = homeserver.split_at(place);
            let inserted = ["\"", "\n", "*", "!", ": ", "{", "#"][number / 17 % 7];
            let mut rest = after.chars();
            rest.next();
            for broken in
                [format!("{before}{}", rest.as_str()), before.to_owned(), format!("{before}{inserted}{after}")]
            {
                let mut sources = sources.clone();
                sources[0].bytes = broken.clone().into_bytes();
                let derived = derived(sources);
                let told = format!("{:?}{:?}{:?}", derived.text(), derived.values(), derived.problems());
                assert!(!told.contains("secret"), "{}:\n{broken}\n{told}", path.display());
                broken_files += 1;
            }
        }
    }
    assert!(broken_files > 1000, "only {broken_files}");
}
