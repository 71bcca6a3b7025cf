use super::*;
use crate::problem::Problems;
use crate::role::Stream;

fn build(yaml: &str) -> (Option<Upstreams>, Vec<String>) {
    let section: UpstreamsSection = serde_yaml::from_str(yaml).unwrap();
    let mut problems = Problems::default();
    let built = section.build(&mut problems);
    (built, problems.as_slice().iter().map(|problem| problem.path.clone()).collect())
}

fn names(upstreams: &Upstreams, role: Role, writes: bool) -> Vec<&str> {
    upstreams.plan(role, writes).unwrap().members().map(|id| upstreams.name(id)).collect()
}

#[test]
fn without_workers_main_does_everything() {
    let (upstreams, problems) = build("{}");
    assert_eq!(problems, [""; 0]);
    let upstreams = upstreams.unwrap();
    for role in Role::ALL {
        for writes in [false, true] {
            assert_eq!(names(&upstreams, role, writes), ["main"], "{role}");
        }
    }
}

#[test]
fn a_role_is_served_by_its_own_workers_and_then_by_those_that_stand_in() {
    let (upstreams, problems) = build(
        "{main: {address: 'a:1'}, s1: {address: 'a:2', roles: [sync]}, s2: {address: 'a:3', roles: [sync, initial_sync]},
          g: {address: 'a:4'}, f: {address: 'a:5', roles: [federation_reader], resources: [federation]},
          w: {address: 'a:6', streams: [typing, push_rules, receipts], resources: [client]}}",
    );
    assert_eq!(problems, [""; 0]);
    let upstreams = upstreams.unwrap();
    let check = |role, writes, expected: &[&str]| assert_eq!(names(&upstreams, role, writes), expected, "{role}");
    check(Role::Main, true, &["main"]);
    check(Role::Sync, false, &["s1", "s2", "g", "main"]);
    check(Role::InitialSync, false, &["s2", "s1", "s2", "g", "main"]);
    check(Role::FederationReader, false, &["f", "g", "main"]);
    check(Role::FederationInbound, true, &["f", "g", "main"]);
    check(Role::EventCreator, true, &["g", "main"]);
    // Nobody but the writer.
    check(Role::Stream(Stream::Typing), true, &["w"]);
    check(Role::Stream(Stream::PushRules), true, &["w"]);
    check(Role::Stream(Stream::PushRules), false, &["w", "g", "main"]);
    check(Role::Stream(Stream::Receipts), true, &["w"]);
    // The main process is the writer.
    check(Role::Stream(Stream::ToDevice), true, &["main"]);
    check(Role::Stream(Stream::ThreadSubscriptions), true, &["main"]);
    check(Role::Stream(Stream::ThreadSubscriptions), false, &["g", "main"]);
    // Whoever is asked passes it on to the writer.
    check(Role::Stream(Stream::AccountData), true, &["g", "main"]);
    check(Role::Stream(Stream::QuarantinedMediaChanges), true, &["main"]);
}

#[test]
fn media_needs_a_process_that_has_it() {
    let (upstreams, _) = build(
        "{main: {address: 'a:1', resources: [client, federation]}, m: {address: 'a:2', roles: [media], resources: [media]}}",
    );
    assert_eq!(names(&upstreams.unwrap(), Role::Media, false), ["m"]);
    let (upstreams, _) = build("{main: {address: 'a:1', resources: [client, federation]}}");
    assert!(upstreams.unwrap().plan(Role::Media, false).unwrap().is_empty());
}

#[test]
fn a_role_is_unserved_when_neither_its_processes_nor_those_that_stand_in_are_there() {
    let (upstreams, _) = build(
        "{main: {address: 'a:1', resources: [client, federation]}, s1: {address: 'a:2', roles: [sync]},
          m: {address: 'a:3', roles: [media], resources: [media]}, t: {address: 'a:4', streams: [typing]}}",
    );
    let upstreams = upstreams.unwrap();
    let check = |gone: &[&str], expected: &[Role]| {
        let unserved = upstreams.unserved(|id| !gone.contains(&upstreams.name(id)));
        assert_eq!(unserved, expected, "without {gone:?}");
    };
    check(&[], &[]);
    check(&["s1"], &[]);
    check(&["m"], &[Role::Media]);
    check(&["t"], &[Role::Stream(Stream::Typing)]);
    check(&["main"], &[Role::Main]);
    check(&["main", "s1"], &[Role::Main, Role::Sync]);
}

#[test]
fn what_does_not_fit_together_is_told() {
    let check = |yaml: &str, path: &str| assert_eq!(build(yaml).1, [path.to_owned()], "{yaml}");
    check("{main: {address: nowhere}}", "upstreams.main.address");
    check("{main: {address: 'a:1', roles: [sync]}}", "upstreams.main");
    check("{w: {roles: [sync]}}", "upstreams.w");
    check("{main: {address: 'a:1'}, w: {address: 'a:1'}}", "upstreams.w.address");
    check("{'a b': {address: 'a:1'}}", "upstreams");
    check("{w: {address: 'a:1', roles: [sync], resources: [federation]}}", "upstreams.w.resources");
    check("{v: {address: 'a:1', roles: [sso]}, w: {address: 'a:2', roles: [sso]}}", "upstreams.w");
    check("{v: {address: 'a:1', streams: [typing]}, w: {address: 'a:2', streams: [typing]}}", "upstreams.w");
    check("{w: {address: 'a:1', max_long_polls: 0}}", "upstreams.w");
}

#[test]
fn a_service_shares_neither_address_nor_name() {
    let mut upstreams = UpstreamsSection::default().build(&mut Problems::default()).unwrap();
    let mut add = |name: &str, address: &str| upstreams.add_service(name, address.parse().unwrap());
    assert_eq!(add("mas", "127.0.0.1:8080"), Ok(UpstreamId(1)));
    assert_eq!(add("sfu", "http://127.0.0.1:8008/"), Err("`main` listens there".to_owned()));
    assert_eq!(add("sfu", "http://127.0.0.1:8080/"), Err("`mas` listens there".to_owned()));
    assert_eq!(add("mas", "127.0.0.1:8081"), Err("another process is called `mas`".to_owned()));
    assert_eq!(add("sfu", "unix:/run/sfu.sock"), Ok(UpstreamId(2)));
    // The pages of a service are behind a route of the operator's.
    let shared = upstreams.add("/".to_owned(), "127.0.0.1:8080".parse().unwrap());
    assert_eq!((shared, upstreams.name(shared)), (UpstreamId(1), "mas"));
}
