use super::*;

#[test]
fn a_regular_expression_stands_for_its_alternatives_and_options() {
    let check = |pattern: &str, paths: &[&str]| assert_eq!(samples::of(pattern).unwrap(), paths, "{pattern}");
    check("^/_matrix/client/versions$", &["/_matrix/client/versions"]);
    check("^/a/(api/v1|r0)/b$", &["/a/api/v1/b", "/a/r0/b"]);
    check("^/a/(?P<id>[^/]*)/b", &["/a/x/b"]);
    check("^/a/(?P<path>pushrules/.*)$", &["/a/pushrules/x", "/a/pushrules/x/x"]);
    check("^/a/(?P<id>[^/]*)/?$", &["/a/x", "/a/x/"]);
    check("^/a(/(?P<r>[^/]+))?(/(?P<s>[^/]+))?$", &["/a", "/a/x", "/a/x/x"]);
    check(r"^/a/(?P<stage>[\w\.]*)/b$", &["/a/x/b"]);
    check(r"^/org\.matrix\.msc1/m.login$", &["/org.matrix.msc1/m.login"]);
    check(
        "^/(?P<v>v1|v2)/[ab]/x{3}/(?:cd){2}$",
        &["/v1/a/xxx/cdcd", "/v1/b/xxx/cdcd", "/v2/a/xxx/cdcd", "/v2/b/xxx/cdcd"],
    );
    check("^/[0-9]+/[^0-9]$", &["/0/."]);
}

#[test]
fn what_stands_for_nothing_or_for_too_much_is_refused() {
    let check = |pattern: &str, message: &str| {
        let error = samples::of(pattern).unwrap_err().to_string();
        assert!(error.contains(message), "{pattern}: {error}");
    };
    check("^/a(", "not a regular expression");
    check("^/a(?=b)", "not a regular expression");
    check("a/b", "matches no path");
    check("^/[^\\x00-\\xff]$", "matches no path");
    check(&format!("^/{}$", "(a|bc)".repeat(9)), "more than 256");
    check("^/a{1000}$", "more than 256");
    check("^/(ab|cd){1000}$", "more than 256");
}

const HEAD: &str = r#"{"version": "1.163.2+debian", "delegated": false}"#;

fn compare(line: &str) -> Comparison {
    Registered::read(&format!("{HEAD}\n{line}\n")).unwrap().compare(&Table::default())
}

#[test]
fn a_request_is_harmful_missed_or_deliberate() {
    // The numbers of harmful, missed and deliberate differences.
    let check = |line: &str, numbers: [usize; 3]| {
        let Comparison { harmful, missed, deliberate, .. } = compare(line);
        assert_eq!([harmful.len(), missed.len(), deliberate.len()], numbers, "{line}");
    };
    let sync = r#"{"path": "^/_matrix/client/(r0|v3)/sync$", "main": ["GET"], "worker": "#;
    check(&format!(r#"{sync}["GET"]}}"#), [0, 0, 0]);
    check(&format!("{sync}[]}}"), [1, 0, 0]);
    let logout = r#"{"path": "^/_matrix/client/(r0|v3)/logout$", "main": ["POST"], "worker": "#;
    check(&format!("{logout}[]}}"), [0, 0, 0]);
    check(&format!(r#"{logout}["POST"]}}"#), [0, 1, 0]);
    // A method that only workers have, and one that no row has.
    check(r#"{"path": "^/_matrix/client/v3/logout$", "main": [], "worker": ["GET", "PATCH"]}"#, [0, 2, 0]);
    check(r#"{"path": "^/_matrix/federation/v1/openid/userinfo$", "main": ["GET"], "worker": ["GET"]}"#, [0, 0, 1]);
    // Its reason is for the opposite.
    check(r#"{"path": "^/_matrix/client/v3/(pushrules/.*)$", "main": ["PUT"], "worker": ["PUT"]}"#, [0, 0, 0]);
    check(r#"{"path": "^/_matrix/client/v3/(pushrules/.*)$", "main": ["PUT"], "worker": []}"#, [0, 0, 1]);
    check(r#"{"path": "^/_matrix/client/v3/(pushrules/.*)$", "main": ["GET"], "worker": []}"#, [1, 0, 0]);
}

#[test]
fn a_difference_says_where_the_table_sends_it() {
    let comparison = compare(r#"{"path": "^/_matrix/client/(r0|v3)/sync$", "main": ["GET"], "worker": []}"#);
    let [difference] = comparison.harmful.as_slice() else { panic!("{comparison:?}") };
    assert_eq!((difference.method.as_str(), difference.example.as_str()), ("GET", "/_matrix/client/r0/sync"));
    assert_eq!((difference.endpoint, difference.role), (Some("initial_sync"), Role::InitialSync));
    assert_eq!(comparison.compared, 2);
    assert!(comparison.not_compared.contains(&"media") && !comparison.not_compared.contains(&"sync"));
}

#[test]
fn a_release_without_harm_is_looked_for_below_the_installed_one() {
    let harmless = |line: &str| Registered::read(&format!("{HEAD}\n{line}\n")).unwrap().harmless(&Table::default());
    let line = r#"{"path": "^/_matrix/client/v1/room_summary/x$", "main": ["GET"], "worker": []}"#;
    assert_eq!(harmless(line), Some(Release::new(1, 155)));
    let line = r#"{"path": "^/_matrix/client/v3/sync$", "main": ["GET"], "worker": []}"#;
    assert_eq!(harmless(line), None);
}

#[test]
fn what_is_no_list_of_registered_paths_is_refused() {
    let check = |text: &str, message: &str| {
        let error = Registered::read(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    };
    let path = r#"{"path": "^/a$", "main": ["GET"], "worker": []}"#;
    check("", "no release");
    check(HEAD, "no path");
    check("Synapse 1.163.2", "line 1");
    check(&format!("{HEAD}\n{{}}\n"), "line 2");
    check(&format!("{{\"version\": \"unknown\", \"delegated\": false}}\n{path}"), "`unknown`");
    check(&format!("{HEAD}\n{}", path.replace("^/a$", "^/a(")), "^/a(");
    check(&format!("{HEAD}\n{}", path.replace("GET", "G T")), "method");
    // A path at which no request arrives is none.
    check(&format!("{HEAD}\n{}", path.replace("^/a$", "^/_synapse/admin/v1/register$")), "no path");
}

#[test]
fn every_deliberate_difference_has_a_reason_of_its_own() {
    let reasons: Vec<_> = deliberate::reasons().collect();
    assert_eq!(reasons.iter().collect::<HashSet<_>>().len(), reasons.len());
}
