//! `routes`: the table, and what it is compared with. A script stands in for the interpreter of an installed Synapse.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::support::command::{Finished, run};

/// What a release registers.
fn registered(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/registered").join(name);
    fs::read_to_string(file).unwrap()
}

/// Verifies against a script that has `answer` beside it as a file, and `homeserver.yaml`.
fn verify(script: &str, answer: &str, arguments: &[&str]) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let python = directory.path().join("python");
    fs::write(directory.path().join("answer"), answer).unwrap();
    fs::write(directory.path().join("homeserver.yaml"), "").unwrap();
    fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let command = ["routes", "verify", "--python", "./python", "--config-path", "homeserver.yaml"];
    run(directory.path(), &[&command[..], arguments].concat(), "")
}

#[test]
fn the_table_is_listed_for_people_and_for_scripts() {
    let directory = tempfile::tempdir().unwrap();
    let list = |arguments: &[&str]| {
        let finished = run(directory.path(), &[&["routes", "list"], arguments].concat(), "");
        assert_eq!((finished.code, &*finished.err), (Some(0), ""), "{arguments:?}");
        finished.out
    };
    let out = list(&[]);
    let row =
        "devices_old: client_reader, by user, from 1.80 to 1.134\n  GET /_matrix/client/(r0|v3|unstable)/devices\n";
    assert!(out.contains(row), "{out}");
    let out = list(&["--release", "1.163.2"]);
    assert!(!out.contains("devices_old:") && out.contains("\ndevices: stream.device_lists, by user, from 1.135\n"));
    let rows: Vec<Value> = serde_json::from_str(&list(&["--release", "1.134", "--json"])).unwrap();
    let row = rows.iter().find(|row| row["id"] == "devices_old").unwrap();
    assert_eq!(row["methods"], serde_json::json!(["GET"]));
    assert_eq!((&row["role"], &row["until"]), (&"client_reader".into(), &"1.134".into()));
    let login = rows.iter().find(|row| row["id"] == "login").unwrap();
    assert_eq!(login["only"], serde_json::json!(["without Matrix Authentication Service"]));
}

#[test]
fn a_table_that_is_right_exits_with_0() {
    let verified = verify("cat answer", &registered("1.163.jsonl"), &[]);
    assert_eq!((verified.code, &*verified.err), (Some(0), ""), "{}", verified.out);
    let lines: Vec<_> = verified.out.lines().collect();
    assert_eq!(
        lines[..2],
        ["configuration: homeserver.yaml", "Synapse 1.163.2, log-ins by Synapse: 606 requests compared"]
    );
    assert_eq!(lines.last(), Some(&"the table is right: no worker is sent what it does not know"));
    assert!(verified.out.contains("\non purpose: GET /_matrix/federation/v1/openid/userinfo goes to the main process"));
    let verified = verify("cat answer", &registered("1.163-mas.jsonl"), &["--json"]);
    let told: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((verified.code, &told["delegated"], &told["pin"]), (Some(0), &Value::Bool(true), &Value::Null));
    assert_eq!(told["comparison"]["harmful"], serde_json::json!([]));
}

#[test]
fn a_table_that_is_wrong_exits_with_1_and_names_a_release_for_which_it_is_right() {
    let lacking = registered("1.163.jsonl").replace(
        r#""path": "^/_matrix/client/v1/room_summary/(?P<room_identifier>[^/]*)$", "main": ["GET"], "worker": ["GET"]"#,
        r#""path": "^/_matrix/client/v1/room_summary/(?P<room_identifier>[^/]*)$", "main": ["GET"], "worker": []"#,
    );
    let verified = verify("cat answer", &lacking, &[]);
    assert_eq!((verified.code, &*verified.err), (Some(1), ""));
    let wrong: Vec<_> = verified.out.lines().filter(|line| line.starts_with("wrong: ")).collect();
    assert_eq!(wrong.len(), 1, "{}", verified.out);
    assert!(wrong[0].starts_with("wrong: GET /_matrix/client/v1/room_summary/x goes to room_reader"), "{}", wrong[0]);
    assert!(verified.out.lines().last().unwrap().contains(r#"`synapse: {version: "1.155"}`"#), "{}", verified.out);
    let verified = verify("cat answer", &lacking, &["--json"]);
    let told: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((verified.code, &told["pin"]), (Some(1), &"1.155".into()));
    assert_eq!(told["comparison"]["harmful"][0]["endpoint"], "room_summary");
}

#[test]
fn the_interpreter_is_isolated_and_given_the_configuration_alone() {
    let script = r#"[ "$1 $2 $3 $5 $6" = "-I -B -c homeserver.yaml conf.d" ] && [ $# = 6 ] || exit 9
                    case $4 in *generate_workers_map*) cat answer ;; *) exit 8 ;; esac"#;
    let verified = verify(script, &registered("1.163.jsonl"), &["--config-path", "conf.d"]);
    assert_eq!((verified.code, &*verified.err), (Some(0), ""));
}

#[test]
fn an_interpreter_that_does_not_answer_is_an_error_with_its_own_words() {
    let check = |script: &str, answer: &str, message: &str| {
        let verified = verify(script, answer, &[]);
        assert_eq!((verified.code, &*verified.out), (Some(1), ""), "{script}");
        assert!(verified.err.contains(message), "{script}: {}", verified.err);
        assert!(verified.err.starts_with("error: ./python does not say"), "{}", verified.err);
        assert_eq!(verified.err.lines().count(), 1, "{}", verified.err);
    };
    let failed = r#"{"error": "ModuleNotFoundError: No module named 'synapse'\n\u001b[1m"}"#;
    check(
        "cat answer; exit 1",
        failed,
        "No module named 'synapse'  [1m; name the Python that Synapse is installed for",
    );
    let old = r#"{"error": "ModuleNotFoundError: No module named 'synapse._scripts.generate_workers_map'"}"#;
    check("cat answer; exit 1", old, "needs Synapse 1.81 or newer");
    check("echo first >&2; printf 'last\\033[1m\\n\\n' >&2; exit 3", "", r"it ends with exit status: 3: last\x1B[1m");
    check("echo Python 3.13", "", "line 1 is not understood");
    check("exit 0", "", "names no release");
    check("while :; do echo more and more and more and more; done", "", "says more than");
}
