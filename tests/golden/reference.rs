//! The reference file says what the parser does.

use serde_json::{Value, to_value};
use synapse_gateway::config::{ConfigSection, Source, load_as, reference, reference_of};

use crate::bless::{Differences, project};
use crate::loader::Sample;

#[test]
fn the_reference_file_is_the_generated_one() {
    let mut differences = Differences::default();
    differences.compare(&project("conf/reference.yaml"), &reference());
    differences.compare(&project("tests/golden/reference/sample.yaml"), &reference_of::<Sample>());
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
