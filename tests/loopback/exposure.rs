//! What of Synapse can be reached, and through which door.

use crate::support::client::{Client, get};
use crate::support::gateway::{Gateway, preamble};
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

/// Paths that are on no list, whatever they decode or resolve to.
const CLOSED: [&str; 31] = [
    "/",
    "/index.html",
    "/metrics",
    "/_synapse",
    "/_synapse/",
    "/_synapse/client",
    "/_synapse/admin",
    "/_synapse/admin/v1/server_version",
    "/_synapse/admin/v2/users/@a:example.com",
    "/_synapse/mas/query_user",
    "/_synapse/mas/provision_user",
    "/_synapse/%6das/provision_user",
    "/_synapse/metrics",
    "/_synapse/replication/fed_send_edu/x/y",
    "/_synapse/%61dmin/v1/server_version",
    "/_synapse/%41dmin/v1/server_version",
    "/_synapse%2Fadmin/v1/server_version",
    "/_synapse%2fclient%2f..%2fadmin/v1/server_version",
    "/%5Fsynapse/admin/v1/server_version",
    "/%5fmatrix/client/versions",
    "/_%6Datrix/client/versions",
    "/_MATRIX/client/versions",
    "/_Synapse/admin/v1/server_version",
    "//_synapse/admin/v1/server_version",
    "//_matrix/client/versions",
    "/./_synapse/admin/v1/server_version",
    "/../_synapse/admin/v1/server_version",
    "/_matrix",
    "/_matrixx/client/versions",
    "/.well-known/openid-configuration",
    "/.git/config",
];

#[test]
fn what_is_not_on_the_list_is_not_found_and_never_reaches_synapse() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let (mut http1, mut http2) = (gateway.client(), gateway.h2());
    for target in CLOSED {
        for target in [target.to_owned(), format!("{target}?access_token=a")] {
            Told::from(http1.get(&target)).is_error(404, "M_UNRECOGNIZED", "unknown_path");
            Told::from(http2.get(&target)).is_error(404, "M_UNRECOGNIZED", "unknown_path");
        }
    }
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

/// Synapse matches paths as they are written, so a path that only resolves to another one is not that other one for
/// Synapse. What must not happen is that it is resolved on the way.
#[test]
fn dots_within_an_open_path_stay_where_they_are() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let targets = [
        "/_matrix/../_synapse/admin/v1/server_version",
        "/_matrix/client/%2e%2e/%2E%2E/_synapse/admin/v1/server_version",
        "/_synapse/client/../admin/v1/server_version",
        "/_synapse/client/..%2Fadmin/v1/server_version",
        "/_matrix//client/./versions",
    ];
    let (mut http1, mut http2) = (gateway.client(), gateway.h2());
    for target in targets {
        assert_eq!((http1.get(target).status(), http2.get(target).status.as_u16()), (200, 200), "{target}");
    }
    let seen: Vec<String> = upstream.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(seen, targets.iter().flat_map(|target| [*target; 2]).collect::<Vec<_>>());
}

const ADMIN: &str = "/_synapse/admin/v1/server_version";

fn ask(gateway: &Gateway, method: &str, more: &str) -> Told {
    let request = format!("{method} {ADMIN} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 0\r\n{more}\r\n");
    gateway.client().ask(request).into()
}

#[test]
fn the_admin_api_is_open_to_its_networks_alone() {
    let upstream = Upstream::answering(fine());
    let open = Gateway::before(&upstream, "admin_api: {enabled: true, networks: [127.0.0.0/8]}\n");
    for method in ["GET", "POST", "PUT", "DELETE"] {
        assert_eq!(ask(&open, method, "").status, 200);
    }
    assert_eq!(upstream.requests().len(), 4);
    let elsewhere =
        Gateway::before(&upstream, "admin_api: {enabled: true, networks: [192.0.2.0/24, '2001:db8::/32']}\n");
    ask(&elsewhere, "GET", "").is_error(403, "M_FORBIDDEN", "network_denied");
    ask(&elsewhere, "GET", "X-Forwarded-For: 192.0.2.7\r\n").is_error(403, "M_FORBIDDEN", "network_denied");
    assert_eq!(upstream.requests().len(), 4);
}

#[test]
fn the_admin_api_may_be_read_only() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "admin_api: {enabled: true, networks: [127.0.0.0/8], read_only: true}\n");
    assert_eq!(ask(&gateway, "GET", "").status, 200);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        ask(&gateway, method, "").is_error(403, "M_FORBIDDEN", "network_denied");
    }
    assert_eq!(upstream.only_request().method(), "GET");
}

#[test]
fn behind_a_trusted_proxy_it_is_the_clients_network_that_counts() {
    let upstream = Upstream::answering(fine());
    let sections =
        "admin_api: {enabled: true, networks: [192.0.2.0/24]}\nforwarding: {trusted_proxies: [127.0.0.0/8]}\n";
    let gateway = Gateway::before(&upstream, sections);
    assert_eq!(ask(&gateway, "GET", "X-Forwarded-For: 192.0.2.7\r\n").status, 200);
    ask(&gateway, "GET", "X-Forwarded-For: 198.51.100.1\r\n").is_error(403, "M_FORBIDDEN", "network_denied");
    let forged = "X-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n";
    ask(&gateway, "GET", forged).is_error(403, "M_FORBIDDEN", "network_denied");
    ask(&gateway, "GET", "").is_error(403, "M_FORBIDDEN", "network_denied");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn each_listener_serves_its_groups_and_nothing_else() {
    const TARGETS: [(&str, &str); 8] = [
        ("client", "/_matrix/client/versions"),
        ("client", "/_synapse/client/password_reset/email/submit_token"),
        ("client", "/_matrix/client/unstable/org.matrix.msc3886/rendezvous"),
        ("federation", "/_matrix/federation/v1/version"),
        ("federation", "/_matrix/key/v2/server"),
        ("client federation", "/_matrix/media/v3/config"),
        ("well_known", "/.well-known/matrix/client"),
        ("admin", ADMIN),
    ];
    let upstream = Upstream::answering(fine());
    let groups = ["client", "federation", "well_known", "admin"];
    let listener =
        |(index, group): (usize, &&str)| format!("- {{address: '127.0.0.{}:0', serve: [{group}]}}\n", index + 1);
    let listeners: String = groups.iter().enumerate().map(listener).collect();
    let sections = "rendezvous: {enabled: true}\nadmin_api: {enabled: true, networks: [127.0.0.0/8]}\n";
    let gateway = Gateway::start(&format!("{}listeners:\n{listeners}{sections}", preamble(&upstream.address())));
    for (index, group) in groups.iter().enumerate() {
        for (served, target) in TARGETS {
            let told = Told::from(Client::tcp(gateway.address(&format!("127.0.0.{}", index + 1))).get(target));
            if served.split(' ').any(|it| it == *group) {
                assert_ne!(told.status, 404, "{group}: {target}");
            } else {
                told.is_error(404, "M_UNRECOGNIZED", "unknown_path");
            }
            let health = Client::tcp(gateway.address(&format!("127.0.0.{}", index + 1))).ask(get("/health"));
            assert_eq!(health.status(), 200);
        }
    }
}

#[test]
fn preflights_do_not_tell_what_a_listener_hides() {
    let upstream = Upstream::answering(fine());
    let listeners = "listeners: [{address: '127.0.0.1:0', serve: [federation]}]\n";
    let gateway = Gateway::start(&format!("{}{listeners}", preamble(&upstream.address())));
    for target in ["/_matrix/client/versions", ADMIN, "/nothing"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: matrix.example.com\r\n\r\n");
        assert_eq!(gateway.client().ask(request).status(), 204, "{target}");
    }
    assert!(upstream.is_unasked());
}
