//! The reference file says what the parser does.

use serde_json::{Value, to_value};
use synapse_gateway::config::{ConfigSection, Source, load_as, man, man_of, reference, reference_of};

use crate::bless::{Differences, project};
use crate::loader::Sample;

#[test]
fn the_reference_file_is_the_generated_one() {
    let mut differences = Differences::default();
    differences.compare(&project("conf/reference.yaml"), &reference());
    differences.compare(&project("tests/golden/reference/sample.yaml"), &reference_of::<Sample>());
    differences.compare(&project("tests/golden/reference/sample.5"), &man_of::<Sample>());
    differences.finish();
}

/// Loads a text and returns all that was read.
fn load<T: serde::de::DeserializeOwned + serde::Serialize + schemars::JsonSchema>(text: &str) -> Value {
    let source = Source { name: "reference.yaml".into(), bytes: text.into() };
    let (loaded, problems) = load_as(&[source], |root: T, _| Some(to_value(root).unwrap()));
    loaded.unwrap_or_else(|| panic!("{:#?}", problems.as_slice()))
}

#[test]
fn loading_the_reference_gives_the_defaults() {
    assert_eq!(load::<ConfigSection>(&reference()), to_value(ConfigSection::default()).unwrap());
    assert_eq!(load::<Sample>(&reference_of::<Sample>()), to_value(Sample::default()).unwrap());
}

/// The keys of the reference by their last name, commented out or not.
fn keys(reference: &str) -> impl Iterator<Item = &str> {
    reference.lines().filter_map(|line| {
        let name = line.trim_start_matches(['#', ' ', '-']).split_once(':')?.0;
        let is_prose = line.trim_start_matches(['#', ' ']).starts_with('*') || line.contains("# ");
        (!is_prose && !name.contains(' ')).then_some(name)
    })
}

#[test]
fn every_key_of_the_reference_is_in_the_manual_page() {
    let (reference, page) = (reference(), man());
    let names: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix(".SS ").or(line.strip_prefix(".B "))).collect();
    let has = |key: &str| names.iter().any(|name| *name == key || name.ends_with(&format!(".{key}")));
    let missing: Vec<&str> = keys(&reference).filter(|key| !has(key)).collect();
    assert!(keys(&reference).count() > 100, "the reference is not read as it is written");
    assert!(missing.is_empty(), "{missing:?}");
}
