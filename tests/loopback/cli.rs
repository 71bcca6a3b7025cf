//! The commands that do not serve: what they print, where, and how they exit.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::certificates::{Kind, sign};
use crate::support::client::lines;
use crate::support::command::{Finished, run};
use crate::support::gateway::Gateway;
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

/// A directory with these files, and a certificate as `cert.pem` and `key.pem`. `{dir}` in them becomes its path.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    for (name, text) in [("cert.pem", &*signed.cert), ("key.pem", &*signed.key)].iter().chain(files) {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("{dir}", directory.path().to_str().unwrap())).unwrap();
    }
    directory
}

const RIGHT: &str = "server_name: example.com\npublic_baseurl: https://matrix.example.com\n\
                     listeners: [{address: '[::]:443', tls: true}]\ntls: {cert: '{dir}/cert.pem', key: '{dir}/key.pem'}\n";

fn check(files: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let directory = directory(files);
    let finished = run(directory.path(), &[&["check", "-c", "gateway.yaml"], arguments].concat(), "");
    assert_eq!(finished.err, "", "answers go to standard output");
    finished
}

#[test]
fn a_right_configuration_has_no_problem() {
    let checked = check(&[("gateway.yaml", RIGHT)], &[]);
    assert_eq!((checked.code, checked.out.lines().next()), (Some(0), Some("0 errors, 0 warnings")));
    assert_eq!(check(&[("gateway.yaml", RIGHT)], &["--json"]).out, "[]\n");
}

#[test]
fn check_opens_what_run_would_open() {
    let other = sign(&["matrix.example.com"], Kind::Ecdsa);
    let told = |more: &[(&str, &str)]| {
        let checked = check(&[&[("gateway.yaml", RIGHT)], more].concat(), &[]);
        assert_eq!(checked.code, Some(78), "{checked:?}");
        checked.out
    };
    let out = told(&[("cert.pem", "rubbish")]);
    assert!(out.starts_with("gateway.yaml:4:7: error: tls.cert: "), "{out}");
    let out = told(&[("key.pem", &other.key)]);
    assert!(out.starts_with("gateway.yaml:4:") && out.contains(" error: tls.key: "), "{out}");
    assert!(!out.contains("PRIVATE"), "{out}");
}

#[test]
fn all_problems_of_all_files_come_at_once_for_people_and_for_scripts() {
    let files = [
        ("gateway.yaml", &*RIGHT.replace("server_name", "servername")),
        ("conf.d/10-limits.yaml", "limits: {body: huge}\n"),
        ("conf.d/20-log.yaml", "log: {format: xml}\n"),
        ("conf.d/30-left-over.yaml.dpkg-old", "rubbish: 1\n"),
    ];
    let checked = check(&files, &[]);
    let lines: Vec<&str> = checked.out.lines().collect();
    assert_eq!(checked.code, Some(78));
    assert_eq!(lines.len(), 4, "{}", checked.out);
    for (line, start) in lines.iter().zip([
        "gateway.yaml:1:1: error: servername: ",
        "conf.d/10-limits.yaml:1:10: error: limits.body: ",
        "conf.d/20-log.yaml:1:7: error: log.format: ",
        "3 errors, 0 warnings",
    ]) {
        assert!(line.starts_with(start), "{start} is not in {line}");
    }
    let checked = check(&files, &["--json"]);
    assert_eq!(checked.code, Some(78));
    let list: Value = serde_json::from_str(&checked.out).unwrap();
    let places: Vec<_> = list.as_array().unwrap().iter().map(|it| (it["file"].as_str(), it["line"].as_u64())).collect();
    let expected = ["gateway.yaml", "conf.d/10-limits.yaml", "conf.d/20-log.yaml"].map(|file| (Some(file), Some(1)));
    assert_eq!(places, expected);
    for problem in list.as_array().unwrap() {
        let keys: Vec<&String> = problem.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["severity", "file", "line", "column", "path", "message", "remedy"]);
        assert!(problem["message"].as_str().is_some_and(|message| !message.is_empty()), "{problem}");
    }
}

#[test]
fn warnings_do_not_fail_a_check() {
    let checked = check(&[("gateway.yaml", &format!("{RIGHT}timeouts: {{upstream_idle: 2m}}\n"))], &[]);
    assert_eq!(checked.code, Some(0));
    assert!(checked.out.starts_with("gateway.yaml:5:12: warning: timeouts.upstream_idle: "), "{}", checked.out);
    assert!(checked.out.contains("\n0 errors, 1 warning\n"), "{}", checked.out);
}

#[test]
fn the_reference_is_the_one_in_the_project_and_is_read_as_it_is_written() {
    let printed = run(Path::new("."), &["reference"], "");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/reference.yaml");
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""));
    assert!(printed.out == fs::read_to_string(path).unwrap(), "conf/reference.yaml is not what `reference` prints");
    let checked = check(&[("gateway.yaml", &printed.out)], &[]);
    assert!(checked.out.contains(": error: listeners: ") && checked.out.contains("\n1 error, "), "{}", checked.out);
}

#[test]
fn a_version_and_help_are_no_errors() {
    let version = run(Path::new("."), &["--version"], "");
    let expected = format!("synapse-gateway {}", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.code, version.out.trim_end(), version.err.as_str()), (Some(0), &*expected, ""));
    for arguments in [&["--help"][..], &["help"], &["run", "--help"], &["check", "-h"], &["explain", "--help"]] {
        let help = run(Path::new("."), arguments, "");
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(help.out.contains("USAGE"), "{}", help.out);
    }
}

#[test]
fn what_cannot_be_understood_exits_with_2_and_says_so_on_standard_error() {
    for arguments in [
        &[][..],
        &["serve"],
        &["run", "--fast"],
        &["check", "-c"],
        &["explain"],
        &["explain", "GET"],
        &["explain", "--batch", "GET", "/"],
        &["explain", "--from", "nowhere", "GET", "/"],
        &["reference", "more"],
    ] {
        let refused = run(Path::new("."), arguments, "");
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{arguments:?}: {refused:?}");
        assert!(!refused.err.is_empty() && !refused.err.contains("panicked"), "{}", refused.err);
    }
}

#[test]
fn what_cannot_be_explained_exits_with_1_or_78() {
    let directory = directory(&[("gateway.yaml", RIGHT), ("wrong.yaml", "listeners: 5\n")]);
    let explain = |arguments: &[&str], input: &str| run(directory.path(), &[&["explain"], arguments].concat(), input);
    for request in [["GET", "gopher://a/"], ["G T", "/"], ["GET", "https://a b/"]] {
        let refused = explain(&["-c", "gateway.yaml", request[0], request[1]], "");
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{request:?}: {refused:?}");
        assert!(refused.err.starts_with("error: ") && refused.err.lines().count() == 1, "{}", refused.err);
    }
    let refused = explain(&["-c", "wrong.yaml", "GET", "/"], "");
    assert_eq!((refused.code, refused.out.as_str()), (Some(78), ""));
    assert!(refused.err.starts_with("wrong.yaml:1:"), "{}", refused.err);
    // In a batch one line that makes no sense does not cost the others their answer.
    let batch = explain(&["-c", "gateway.yaml", "--batch", "--json"], "GET /health\n\nnonsense\nGET /ready\n");
    assert_eq!((batch.code, batch.out.lines().count()), (Some(1), 2), "{batch:?}");
    assert!(batch.err.starts_with("line 3: "), "{}", batch.err);
}

/// What is explained, for people and for scripts. `BLESS=1` rewrites it.
#[test]
fn explanations_are_the_ones_in_the_golden_files() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain");
    let read = |name: &str| fs::read_to_string(golden.join(name)).unwrap_or_default();
    let directory = directory(&[("gateway.yaml", &read("gateway.yaml"))]);
    let requests = read("requests.txt");
    for (name, form) in [("explained.txt", &[][..]), ("explained.jsonl", &["--json"])] {
        let arguments = [&["explain", "-c", "gateway.yaml", "--batch"], form].concat();
        let explained = run(directory.path(), &arguments, &requests);
        assert_eq!((explained.code, explained.err.as_str()), (Some(0), ""), "{explained:?}");
        if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
            fs::write(golden.join(name), &explained.out).unwrap();
        }
        assert!(explained.out == read(name), "{name} differs (BLESS=1 rewrites it):\n{}", explained.out);
        // One request alone is explained like one in a batch.
        let (method, url) = requests.lines().next().unwrap().split_once(' ').unwrap();
        let alone = run(directory.path(), &[&["explain", "-c", "gateway.yaml", method, url], form].concat(), "");
        assert!(explained.out.starts_with(&alone.out), "{}", alone.out);
    }
}

type Fields<'a> = &'a [(&'a str, &'a str)];

const SECTIONS: &str = "
rendezvous: {enabled: true, redirect_unstable: true}
admin_api: {enabled: true, networks: [127.0.0.0/8], read_only: true}
limits: {body: 2KiB, uri: 1KiB}
forwarding: {trusted_proxies: [127.0.0.1/32]}
";

#[test]
fn what_is_explained_is_what_happens() {
    let (main, extra) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let routes = format!(
        "extra_routes: [{{path: /app/, proxy: 'http://{}', strip_prefix: true}}, {{path: /robots.txt, respond: {{body: no}}}},\
         {{path: /old/, redirect: 'https://www.example.com/'}}]\n",
        extra.address()
    );
    let gateway = Gateway::before(&main, &format!("{SECTIONS}{routes}"));
    let long = format!("/_matrix/{}", "x".repeat(1100));
    let session = "/_synapse/client/org.matrix.msc3886/rendezvous/00000000000000000000000000000000";
    let requests: [(&str, &str, Fields); 30] = [
        ("GET", "/_matrix/client/versions", &[]),
        ("GET", "/_matrix/client/v3/sync?since=s1&timeout=1", &[]),
        ("GET", "/_matrix/client/v3/sync", &[]),
        ("POST", "/_matrix/client/v3/join/x", &[]),
        ("GET", "/_matrix/client/%2e%2e/x?a=%2F&&", &[]),
        ("OPTIONS", "/_matrix/client/v3/login", &[]),
        ("PUT", "/_matrix/federation/v1/send/1", &[]),
        ("GET", "/_matrix/key/v2/server", &[]),
        ("GET", "/_matrix/media/v3/download/a/b", &[]),
        ("POST", "/_matrix/media/v3/upload", &[("Content-Length", "3000")]),
        ("GET", "/_synapse/client/password_reset", &[]),
        ("GET", "/_synapse/admin/v1/rooms", &[("X-Forwarded-For", "127.0.0.7")]),
        ("POST", "/_synapse/admin/v1/rooms", &[]),
        ("GET", "/_synapse/admin/v1/rooms", &[("X-Forwarded-For", "192.0.2.1")]),
        ("GET", "/_synapse/%61dmin/v1/rooms", &[]),
        ("POST", "/_matrix/client/unstable/org.matrix.msc3886/rendezvous", &[]),
        ("GET", "/_synapse/client/org.matrix.msc3886/rendezvous", &[]),
        ("GET", session, &[]),
        ("GET", session, &[("Sec-Fetch-Mode", "navigate")]),
        ("GET", "/.well-known/matrix/client", &[]),
        ("GET", "/.well-known/matrix/nothing", &[]),
        ("GET", "/app/x?y", &[("X-Forwarded-For", "198.51.100.1, 192.0.2.7")]),
        ("GET", "/robots.txt", &[]),
        ("GET", "/old/page?x=1", &[]),
        ("POST", "/old/page", &[]),
        ("GET", "/health", &[]),
        ("GET", "/ready", &[]),
        ("GET", "/nothing", &[]),
        ("GET", &long, &[]),
        ("TRACE", "/_matrix/client/versions", &[]),
    ];
    for (method, target, fields) in requests {
        let explained = explain(&gateway, method, target, fields);
        let before = (main.requests().len(), extra.requests().len());
        let lines = lines(fields);
        let request = format!("{method} {target} HTTP/1.1\r\nHost: matrix.example.com\r\n{lines}\r\n");
        let told = Told::from(gateway.client().ask(request));
        let entry = gateway.logged(told.one("x-request-id").unwrap());
        let context = format!("{method} {target}: {explained} {entry}");
        for name in ["class", "upstream", "cause", "listener"] {
            assert!(explained[name].is_null() || explained[name] == entry[name], "{name}: {context}");
        }
        let seen = [&main.requests()[before.0..], &extra.requests()[before.1..]].concat();
        let seen: Vec<_> = seen.iter().filter(|request| request.target() != "/health").collect();
        if explained["action"] == "forwarded" {
            assert_eq!(seen.len(), 1, "{context}");
            assert_eq!(Some(seen[0].target()), explained["target"].as_str(), "{context}");
            let client = format!("x-forwarded-for: {}", seen[0].head.one("x-forwarded-for").unwrap());
            assert_eq!(explained["headers_added"][0], client, "{context}");
            assert_eq!(explained["upstream"], entry["upstream"], "{context}");
        } else {
            assert_eq!(seen.len(), 0, "{context}");
            assert!(explained["status"].is_null() || explained["status"] == told.status, "{context}");
            assert!(
                explained["location"].is_null() || explained["location"].as_str() == told.one("location"),
                "{context}"
            );
        }
    }
}

/// What `explain` says of a request to a gateway that runs.
fn explain(gateway: &Gateway, method: &str, target: &str, fields: &[(&str, &str)]) -> Value {
    let url = format!("http://matrix.example.com{target}");
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut arguments = vec!["explain", "--json", "-c", "gateway.yaml", "--from", "127.0.0.1"];
    arguments.extend(fields.iter().flat_map(|field| ["-H", field.as_str()]));
    let finished = run(gateway.directory(), &[&arguments[..], &[method, &url]].concat(), "");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.out).unwrap()
}
