use http::Method;

use super::*;
use crate::class::RouteClass;
use crate::problem::Problems;
use crate::upstream_address::{UpstreamAddress, UpstreamId};

#[test]
fn only_matrix_and_synapses_client_api_are_on_the_allow_list() {
    let check = |path: &str, api: Option<Api>| {
        assert_eq!(classify(&Method::GET, path, false).map(|(api, _)| api), api, "{path}");
    };
    check("/_matrix/client/versions", Some(Api::Client));
    check("/_matrix/static/", Some(Api::Client));
    check("/_matrix/key/v2/server", Some(Api::Federation));
    check("/_matrix/federation/v1/version", Some(Api::Federation));
    check("/_matrix/media/v3/config", Some(Api::Media));
    check("/_synapse/client/oidc/callback", Some(Api::Client));
    check("/_synapse/admin/v1/server_version", Some(Api::Admin));
    check("/_synapse/mas/query_user", Some(Api::Mas));
    for path in [
        "/",
        "/_matrix",
        "/_synapse",
        "/_synapse/client",
        "/_synapse/%61dmin/v1/users",
        "/_synapse/mas",
        "/_synapse/%6das/x",
        "/_synapse/mas%2Fx",
        "/_synapse/MAS/x",
        "/_synapse/masx/y",
        "/_synapse/replication/x",
        "/_synapse/metrics",
        "/_matrixx/client",
        "/_MATRIX/client",
        "/%5fmatrix/client",
        "//_matrix/client",
        "/./_matrix/client",
        "/metrics",
        "/_synapse/clientx/y",
        "/_synapse/adminx",
    ] {
        check(path, None);
    }
}

#[test]
fn an_endpoint_has_the_time_budget_of_what_it_does() {
    let check = |method: Method, path: &str, since: bool, class: RouteClass| {
        assert_eq!(classify(&method, path, since).map(|(_, class)| class), Some(class), "{method} {path}");
    };
    check(Method::GET, "/_matrix/client/v3/sync", true, RouteClass::LongPoll);
    check(Method::GET, "/_matrix/client/v3/sync", false, RouteClass::InitialSync);
    check(Method::GET, "/_matrix/client/r0/events", true, RouteClass::LongPoll);
    check(Method::POST, "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", false, RouteClass::LongPoll);
    check(Method::POST, "/_matrix/client/v4/sync", false, RouteClass::LongPoll);
    check(Method::GET, "/_matrix/client/api/v1/initialSync", false, RouteClass::InitialSync);
    check(Method::GET, "/_matrix/client/r0/rooms/!a:b/initialSync", false, RouteClass::InitialSync);
    check(Method::POST, "/_matrix/client/v3/join/%23a:b", false, RouteClass::Join);
    check(Method::POST, "/_matrix/client/v3/rooms/!a%2Fb:c/invite", false, RouteClass::Join);
    check(Method::POST, "/_matrix/client/v3/createRoom", false, RouteClass::Join);
    check(Method::GET, "/_matrix/client/v3/rooms/!a:b/members", false, RouteClass::Client);
    check(Method::POST, "/_matrix/media/v3/upload", false, RouteClass::Upload);
    check(Method::PUT, "/_matrix/media/v3/upload/example.com/id", false, RouteClass::Upload);
    check(Method::GET, "/_matrix/media/v3/upload", false, RouteClass::Client);
    check(Method::GET, "/_matrix/media/v3/download/a/b", false, RouteClass::Download);
    check(Method::GET, "/_matrix/client/v1/media/thumbnail/a/b", false, RouteClass::Download);
    check(Method::GET, "/_matrix/federation/v1/media/download/a", false, RouteClass::Download);
    check(Method::PUT, "/_matrix/federation/v1/send/1", false, RouteClass::Federation);
    check(Method::GET, "/_matrix/a/b/c/d/e/f/g/h/i/j/k", false, RouteClass::Client);
}

/// The routes of `matrix_rtc`, where both services are set.
fn calls() -> ExtraRoutes {
    let section: MatrixRtcSection =
        serde_yaml::from_str("{jwt_service: 'http://127.0.0.1:8081/', sfu: 'unix:/run/livekit.sock'}").unwrap();
    section.build(|_, _| Ok(UpstreamId(2)), &mut Problems::default()).unwrap()
}

fn routes(yaml: &str) -> (ExtraRoutes, Vec<String>) {
    let sections: Vec<ExtraRouteSection> = serde_yaml::from_str(yaml).unwrap();
    let mut problems = Problems::default();
    let routes = ExtraRouteSection::build(sections, &calls(), |_, _| UpstreamId(1), &mut problems);
    (routes, problems.as_slice().iter().map(|problem| problem.path.clone()).collect())
}

#[test]
fn a_route_does_exactly_one_thing_with_a_path_of_its_own() {
    let check = |yaml: &str, path: &str| assert_eq!(routes(yaml).1, [path.to_owned()], "{yaml}");
    check("[{path: /a/}]", "extra_routes[0]");
    check("[{path: /a/, proxy: 'http://b:1', redirect: 'https://c/'}]", "extra_routes[0]");
    check("[{path: /a/, redirect: 'https://c/', websocket: true}]", "extra_routes[0]");
    check("[{path: a, redirect: 'https://c/'}]", "extra_routes[0].path");
    check("[{path: /_matrix/x, redirect: 'https://c/'}]", "extra_routes[0].path");
    check("[{path: /_synapse/admin/, proxy: 'http://b:1'}]", "extra_routes[0].path");
    check("[{path: /a/, proxy: 'https://b:1'}]", "extra_routes[0].proxy");
    check("[{path: /a/, redirect: /b}]", "extra_routes[0].redirect");
    check("[{path: /a, respond: {status: 99}}]", "extra_routes[0].respond.status");
    check("[{path: /a/, proxy: 'http://b:1'}, {path: /a/, proxy: 'http://c:1'}]", "extra_routes[1]");
    check("[{path: /livekit/sfu/rtc, proxy: 'http://b:1'}]", "extra_routes[0].path");
    check("[{host: rtc.example.com, path: /livekit/jwt/, proxy: 'http://b:1'}]", "extra_routes[0].path");
    assert_eq!(routes("[{path: /livekit/, redirect: 'https://c/'}]").1, Vec::<String>::new());
}

#[test]
fn the_admin_api_needs_a_network() {
    let build = |yaml: &str| {
        let mut problems = Problems::default();
        let section: AdminApiSection = serde_yaml::from_str(yaml).unwrap();
        (section.build(&mut problems), problems.as_slice().len())
    };
    assert_eq!(build("{enabled: true}"), (None, 1));
    let (open, problems) = build("{enabled: true, networks: [10.0.0.0/8]}");
    assert_eq!(problems, 0);
    assert!(open.as_ref().unwrap().admits([10, 1, 2, 3].into()));
    assert!(!open.unwrap().admits([11, 1, 2, 3].into()));
    let (closed, _) = build("{enabled: false, networks: [10.0.0.0/8]}");
    assert!(!closed.unwrap().is_open());
}

fn mas(yaml: &str) -> (Option<Mas>, Vec<String>) {
    let section: MasSection = serde_yaml::from_str(yaml).unwrap();
    let mut problems = Problems::default();
    let upstream = |address: UpstreamAddress| match address.to_string().as_str() {
        "127.0.0.1:8008" => Err("`main` listens there".to_owned()),
        _ => Ok(UpstreamId(1)),
    };
    let built = section.build(upstream, &mut problems);
    (built, problems.as_slice().iter().map(|problem| problem.path.clone()).collect())
}

#[test]
fn mas_is_at_an_address_of_its_own() {
    let check = |yaml: &str, path: &str| assert_eq!(mas(yaml), (None, vec![path.to_owned()]), "{yaml}");
    check("{}", "mas");
    check("{endpoint: 'http://127.0.0.1:8080/auth/'}", "mas.endpoint");
    check("{endpoint: 'https://auth.example.com/'}", "mas.endpoint");
    check("{endpoint: 'http://127.0.0.1:8008'}", "mas.endpoint");
    for fine in ["http://127.0.0.1:8080/", "http://mas.internal", "unix:/run/mas.sock", "127.0.0.1:8080"] {
        assert_eq!(mas(&format!("{{endpoint: '{fine}'}}")).1, Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn this_host_is_where_mas_asks_from_unless_networks_say_otherwise() {
    let admits = |yaml: &str| {
        let built = mas(&format!("{{endpoint: 'http://127.0.0.1:8080', {yaml}}}")).0.unwrap();
        ["127.0.0.1", "127.9.9.9", "::1", "10.0.0.1"].map(|address| built.admits(address.parse().unwrap()))
    };
    assert_eq!(admits(""), [true, true, true, false]);
    assert_eq!(admits("mas_networks: [10.0.0.0/8]"), [false, false, false, true]);
    assert_eq!(admits("mas_networks: []"), [false; 4]);
    let everybody = mas("{endpoint: 'http://127.0.0.1:8080', mas_networks: [10.0.0.0/8, '::/0']}");
    assert_eq!(everybody.1, ["mas.mas_networks[1]"]);
}

#[test]
fn mas_serves_log_ins_in_every_version_that_synapse_has_served() {
    for version in ["v3", "r0", "unstable", "api/v1"] {
        for endpoint in ["login", "login/sso/redirect/idp", "login/", "logout", "logout/all", "refresh"] {
            assert!(Mas::serves(&format!("/_matrix/client/{version}/{endpoint}")), "{version} {endpoint}");
        }
        for endpoint in ["logins", "login%2Fx", "%6cogin", "register", "account/whoami", "x/login", ""] {
            assert!(!Mas::serves(&format!("/_matrix/client/{version}/{endpoint}")), "{version} {endpoint}");
        }
    }
    for path in ["/_matrix/client/v1/login/get_token", "/_matrix/client/login", "/_matrix/client//login", "/login"] {
        assert!(!Mas::serves(path), "{path}");
    }
}

#[test]
fn calls_take_at_least_one_service() {
    let build = |yaml: &str| {
        let section: MatrixRtcSection = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::default();
        let built = section.build(|_, _| Ok(UpstreamId(1)), &mut problems);
        let paths: Vec<_> = problems.as_slice().iter().map(|problem| problem.path.clone()).collect();
        (built.map(|routes| routes.0.into_iter().map(|route| route.path).collect::<Vec<_>>()), paths)
    };
    assert_eq!(build("{}"), (None, vec!["matrix_rtc".to_owned()]));
    assert_eq!(build("{sfu: 'ws://a:1'}").1, ["matrix_rtc.sfu"]);
    assert_eq!(build("{sfu: 'http://a:1/sfu', jwt_service: 'a'}").1, ["matrix_rtc.jwt_service", "matrix_rtc.sfu"]);
    let (sfu, none) = build("{sfu: 'http://a:1'}");
    assert_eq!((sfu.unwrap(), none), (vec!["/livekit/sfu/".to_owned()], Vec::new()));
}
