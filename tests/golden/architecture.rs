//! Dependencies point one way: `cli → edge → decide, config → rooms → base`, and rooms do not import each other.

#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "places found in the same text or table")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bless::project;

/// From below to above. A module imports from the layers below its own; among themselves only the base's modules do.
const LAYERS: [(&str, &[&str]); 5] = [
    (
        BASE,
        &["class", "inbound", "matrix", "network", "problem", "quantity", "reply", "role", "upstream_address", "yaml"],
    ),
    (
        "rooms",
        &[
            "derive",
            "errors",
            "headers",
            "limits",
            "listen",
            "observe",
            "rendezvous",
            "routing",
            "upstream",
            "well_known",
        ],
    ),
    ("decide", &["decide"]),
    ("config", &["config"]),
    ("edge and cli", &["edge", "cli"]),
];
const BASE: &str = "base";

/// The layer's place and name; the edge and the command line share the last one, in their order.
fn layer(module: &str) -> Option<(usize, &'static str)> {
    let place = LAYERS.iter().position(|(_, modules)| modules.contains(&module))?;
    Some((place, LAYERS[place].0))
}

fn may_import(from: &str, to: &str) -> bool {
    let (Some((above, name)), Some((below, _))) = (layer(from), layer(to)) else { return false };
    from == to || below < above || (below == above && name == BASE) || (from == "cli" && to == "edge")
}

/// The modules that `crate::` leads to, in imports and in paths, groups like `crate::{a::B, c}` included.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name = |rest: &str| -> String { rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect() };
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut expects = true;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects = true,
                character if expects && !character.is_whitespace() => {
                    found.insert(name(&group[at..]));
                    expects = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<_> = entries.flat_map(|entry| sources(&entry.unwrap().path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

fn modules() -> Vec<String> {
    let lib = fs::read_to_string(project("src/lib.rs")).unwrap();
    lib.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned())).collect()
}

#[test]
fn every_module_has_its_layer() {
    let known: BTreeSet<String> = LAYERS.iter().flat_map(|(_, modules)| *modules).map(ToString::to_string).collect();
    assert_eq!(modules().into_iter().collect::<BTreeSet<_>>(), known);
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for module in modules() {
        let root = project("src").join(&module);
        for file in sources(&root.with_extension("rs")).into_iter().chain(sources(&root)) {
            let text = fs::read_to_string(&file).unwrap();
            // A module at the top has the crate for its parent.
            let reaches_up = text.lines().any(|line| line.starts_with("use super::"));
            assert!(file.parent() != Some(&project("src")) || !reaches_up, "{}: write `crate::`", file.display());
            let imports = imports(&text);
            seen += imports.len();
            for import in imports.iter().filter(|import| !may_import(&module, import)) {
                wrong.push(format!("{}: `{module}` must not import `{import}`", file.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::a;\n// crate::b\n    crate::c::D::new(&crate::e::F);\nuse crate::{g::{H, I}, j, k::L};\n";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["a", "c", "e", "g", "j", "k"]);
}

#[test]
fn a_room_may_import_the_base_and_nothing_beside_or_above_it() {
    let may = ["matrix", "reply", "limits"].map(|to| may_import("limits", to));
    let may_not = ["routing", "decide", "config", "edge", "cli", "unheard_of"].map(|to| may_import("limits", to));
    assert_eq!((may, may_not), ([true; 3], [false; 6]));
    assert!(may_import("cli", "edge") && !may_import("edge", "cli") && !may_import("decide", "config"));
}
