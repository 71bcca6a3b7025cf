//! What releases of Synapse register, beside the table: `registered/NAME.jsonl` is what `routes verify` is told by an
//! installed one, and `NAME.txt` what comes of the comparison.

use std::fmt::Write;
use std::fs;

use synapse_gateway::routing::{Comparison, Difference, Registered, Release, Table};

use crate::bless::{Differences, cases};

fn told(registered: &Registered, comparison: &Comparison) -> String {
    let mut text = format!("Synapse {}, {} requests\n", registered.version, comparison.compared);
    let mut list = |title: &str, differences: &[Difference]| {
        for one in differences {
            let from = one.endpoint.unwrap_or("main");
            writeln!(text, "{title}: {from}: {} {}", one.method, one.path).unwrap();
        }
    };
    list("harmful", &comparison.harmful);
    list("missed", &comparison.missed);
    list("deliberate", &comparison.deliberate);
    writeln!(text, "not compared: {}", comparison.not_compared.join(" ")).unwrap();
    text
}

#[test]
fn no_worker_of_any_release_gets_what_it_does_not_know() {
    let table = Table::default();
    let mut differences = Differences::default();
    for case in cases("tests/golden/registered", "jsonl") {
        let registered = Registered::read(&fs::read_to_string(&case).unwrap()).unwrap();
        let comparison = registered.compare(&table);
        assert_eq!(comparison.harmful, [], "{}", case.display());
        assert!(comparison.compared > 500, "{}", case.display());
        assert_eq!(registered.harmless(&table), Some(registered.synapse.release), "{}", case.display());
        differences.compare(&case.with_extension("txt"), &told(&registered, &comparison));
    }
    differences.finish();
}

/// A release that is taken for a newer one: what its workers do not know yet is harmful, and there is a remedy.
#[test]
fn a_table_for_another_release_is_found_out() {
    let table = Table::default();
    let text = fs::read_to_string(crate::bless::project("tests/golden/registered/1.98-mas.jsonl")).unwrap();
    let mut registered = Registered::read(&text).unwrap();
    registered.synapse.release = Release::NEWEST;
    let harmful = registered.compare(&table).harmful;
    let rows: Vec<_> = harmful.iter().filter_map(|one| one.endpoint).collect();
    assert!(rows.contains(&"devices") && rows.contains(&"cross_signing"), "{rows:?}");
    let remedy = registered.harmless(&table).unwrap();
    assert!(remedy >= Release::new(1, 98) && remedy < Release::new(1, 135), "{remedy}");
}
