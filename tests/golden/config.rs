//! Configurations of the gateway itself with the problems that are told of them, and the files in `conf`, which have none.

use std::fs;

use synapse_gateway::config::{load, read};

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

#[test]
fn the_files_in_conf_have_no_problem() {
    // The reference sets no listener, which only the operator can choose.
    let files = [cases("conf", "yaml"), cases("conf/examples", "yaml")].concat();
    for path in files.iter().filter(|path| !path.ends_with("reference.yaml")) {
        let problems = load(&read(path).unwrap()).1;
        assert!(problems.as_slice().is_empty(), "{}: {:#?}", path.display(), problems.as_slice());
    }
}
