//! Configurations of the gateway itself with the problems that are told of them.

use std::fs;

use synapse_gateway::config::load;

use crate::bless::{Differences, cases};
use crate::loader::{answer, sources};

#[test]
fn every_wrong_configuration_is_told_what_to_write_instead() {
    let mut differences = Differences::default();
    for path in cases("tests/golden/config", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let (sources, input) = sources(&text);
        differences.compare(&path, &answer(input, &load(&sources).1));
    }
    differences.finish();
}
