use std::time::Duration;

use super::*;
use crate::inbound::{Scheme, Serve};
use crate::problem::{Problems, Severity};

mod addresses {
    use super::*;

    /// What is printed for a text: the address, or the problem and its remedy.
    fn check(text: &str, expected: &str) {
        let printed = match text.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(error) => format!("{error}; {}", error.remedy()),
        };
        assert_eq!(printed, expected, "{text:?}");
    }

    #[test]
    fn an_address_prints_as_it_is_written() {
        for text in ["0.0.0.0:443", "[::]:443", "127.0.0.1:0", "[fe80::1%2]:443", "unix:/run/synapse-gateway/edge.sock"]
        {
            check(text, text);
        }
    }

    #[test]
    fn a_port_alone_is_answered_with_the_dual_stack_wildcard() {
        check("443", "`443` names a port but no IP address; write `[::]:443` for all addresses, IPv4 and IPv6");
        check(":443", "`:443` names a port but no IP address; write `[::]:443` for all addresses, IPv4 and IPv6");
        check("*:80", "`*:80` names a port but no IP address; write `[::]:80` for all addresses, IPv4 and IPv6");
    }

    #[test]
    fn what_is_almost_an_address_is_answered_with_the_address() {
        check("", "there is no address; write an IP address and a port, as in `[::]:443`");
        check("127.0.0.1", "`127.0.0.1` has no port; write `127.0.0.1:443`");
        check("[::1]", "`[::1]` has no port; write `[::1]:443`");
        check(
            "2001:db8::1:g:443",
            "`2001:db8::1:g:443` is a host name, and names are not looked up; write the IP address, as in `127.0.0.1:8080`, or `[::]:443` for all addresses",
        );
        check(
            "2001:db8:0:0:0:0:0:1:443",
            "`2001:db8:0:0:0:0:0:1:443` has an IPv6 address without brackets; write `[2001:db8::1]:443`",
        );
        check(
            "[::1]:99999",
            "`[::1]:99999` does not end in a port; write a number from 1 to 65535 after the last colon",
        );
        check(
            "[::ffff:192.0.2.1]:443",
            "`[::ffff:192.0.2.1]:443` is an IPv4 address written as IPv6; write `192.0.2.1:443`",
        );
        check("/run/edge.sock", "`/run/edge.sock` is a path; write `unix:/run/edge.sock`");
        check(
            "unix:edge.sock",
            "`edge.sock` is not an absolute path; write the whole path, as in `unix:/run/synapse-gateway/edge.sock`",
        );
    }

    #[test]
    fn host_names_are_refused() {
        for text in ["localhost:8080", "example.com:443", "example.com"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::HostName(text.to_owned())));
        }
    }

    #[test]
    fn a_unix_path_may_have_107_bytes() {
        let path = |length: usize| format!("unix:/{}", "a".repeat(length - 1));
        assert!(path(107).parse::<Address>().is_ok());
        assert!(matches!(path(108).parse::<Address>(), Err(AddressError::LongPath(_))));
    }

    #[test]
    fn addresses_overlap_where_the_kernel_says_in_use() {
        let check = |one: &str, two: &str, expected: bool| {
            let (one, two): (Address, Address) = (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!(one.overlaps(&two), expected, "{one} and {two}");
            assert_eq!(two.overlaps(&one), expected, "{two} and {one}");
        };
        check("0.0.0.0:443", "0.0.0.0:443", true);
        check("0.0.0.0:443", "127.0.0.1:443", true);
        check("[::]:443", "127.0.0.1:443", true);
        check("[::]:443", "[::1]:443", true);
        check("[::]:443", "0.0.0.0:443", false);
        check("[::1]:443", "127.0.0.1:443", false);
        check("[::]:443", "[::]:8448", false);
        check("127.0.0.1:0", "127.0.0.1:0", false);
        check("unix:/run/a", "unix:/run/a", true);
        check("unix:/run/a", "127.0.0.1:80", false);
    }
}

mod names {
    use super::*;

    fn check(asked: &str, expected: &[&str]) {
        let mut names = Names::default();
        for (name, value) in [
            ("example.com", "ecdsa"),
            ("Example.com", "rsa"),
            ("*.example.com", "wildcard"),
            ("matrix.example.com", "own"),
        ] {
            names.add(name, value);
        }
        let found: Vec<&str> = names.candidates(asked).copied().collect();
        assert_eq!(found, expected, "{asked}");
    }

    #[test]
    fn all_certificates_of_a_name_are_candidates_in_their_order() {
        check("example.com", &["ecdsa", "rsa"]);
        check("EXAMPLE.com", &["ecdsa", "rsa"]);
    }

    #[test]
    fn a_certificate_for_the_name_itself_goes_before_a_wildcard() {
        check("matrix.example.com", &["own", "wildcard"]);
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        check("element.example.com", &["wildcard"]);
        check("a.b.example.com", &[]);
        check("com", &[]);
        check("other.org", &[]);
    }
}

mod listeners {
    use super::*;

    fn build(yaml: &str, tls: bool) -> (Option<Vec<Listener>>, Vec<String>) {
        let sections: Vec<ListenerSection> = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::default();
        let listeners = build_listeners(sections, tls, &mut problems);
        assert_eq!(listeners.is_none(), problems.has_errors(), "{:?}", problems.as_slice());
        (listeners, problems.as_slice().iter().map(ToString::to_string).collect())
    }

    /// The problems of a list of listeners with certificates at hand.
    fn check(yaml: &str, expected: &[&str]) {
        assert_eq!(build(yaml, true).1, expected, "{yaml}");
    }

    fn sound(yaml: &str) -> Vec<Listener> {
        let (listeners, problems) = build(yaml, true);
        assert_eq!(problems, Vec::<String>::new());
        listeners.unwrap()
    }

    #[test]
    fn a_bare_tls_listener_serves_everything_over_both_http_versions() {
        let [listener] = &sound(r#"[{address: "[::]:443", tls: true}]"#)[..] else { panic!("one listener") };
        assert_eq!(listener.transport, Transport::Tls { http2: true });
        assert_eq!(listener.serve, Serve::ALL);
        let arrival = listener.arrival(Some(443), Some("::ffff:192.0.2.7".parse().unwrap()));
        assert_eq!(arrival.listener, "[::]:443");
        assert_eq!(arrival.scheme, Scheme::Https);
        assert_eq!(arrival.peer, Some("192.0.2.7".parse().unwrap()));
        assert!(!arrival.trusted);
    }

    #[test]
    fn serve_limits_a_listener_to_the_groups_it_names() {
        let listeners = sound(r#"[{address: "[::]:8448", tls: true, serve: [federation, well_known]}]"#);
        assert_eq!(listeners[0].serve, Serve { client: false, federation: true, well_known: true, admin: false });
    }

    #[test]
    fn the_ipv6_wildcard_leaves_ipv4_to_its_own_wildcard_on_the_same_port() {
        let listeners = sound(
            r#"[{address: "0.0.0.0:443", tls: true}, {address: "[::]:443", tls: true}, {address: "[::]:8448", tls: true}]"#,
        );
        assert_eq!(listeners.iter().map(|listener| listener.v6_only).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn a_redirect_leads_to_the_tls_port_for_clients() {
        let check = |others: &str, expected: u16| {
            let (listeners, _) = build(&format!(r#"[{{address: "[::]:80", redirect_https: true}}{others}]"#), true);
            assert_eq!(listeners.unwrap()[0].arrival(Some(80), None).redirect_https, Some(expected), "{others}");
        };
        check("", 443);
        check(r#", {address: "[::]:8443", tls: true}"#, 8443);
        check(r#", {address: "[::]:8448", tls: true, serve: [federation]}, {address: "[::]:8443", tls: true}"#, 8443);
        check(r#", {address: "[::]:9443", tls: true}, {address: "[::]:443", tls: true}"#, 443);
        check(r#", {address: "[::]:8448", tls: true, serve: [federation]}"#, 8448);
    }

    #[test]
    fn a_unix_socket_is_trusted_and_has_its_mode() {
        let listeners = sound(
            r#"[{address: "unix:/run/a", mode: "0666"}, {address: "unix:/run/b"}, {address: "[::]:443", tls: true}]"#,
        );
        assert_eq!(listeners.iter().map(|listener| listener.trusted).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((listeners[0].mode, listeners[1].mode), (0o666, 0o660));
    }

    #[test]
    fn listeners_that_cannot_be_bound_together_are_refused() {
        check(
            r#"[{address: "[::]:443", tls: true}, {address: "127.0.0.1:443", tls: true}]"#,
            &[
                "error: listeners[1].address: `127.0.0.1:443` is taken by `[::]:443` of listeners[0]; choose another port, or remove one of the two",
            ],
        );
    }

    #[test]
    fn the_position_in_a_message_counts_listeners_that_were_refused() {
        check(
            r#"[{address: "443"}, {address: "[::]:80", redirect_https: true}, {address: "[::]:80"}]"#,
            &[
                "error: listeners[0].address: `443` names a port but no IP address; write `[::]:443` for all addresses, IPv4 and IPv6",
                "error: listeners[2].address: `[::]:80` is taken by `[::]:80` of listeners[1]; choose another port, or remove one of the two",
            ],
        );
    }

    #[test]
    fn all_problems_of_a_listener_come_at_once() {
        check(
            r#"[{address: "[::]:443", tls: true, redirect_https: true, serve: [], mode: "999", acme_webroot: acme}]"#,
            &[
                "error: listeners[0].redirect_https: a listener with `tls` is https already; remove `redirect_https` here",
                "error: listeners[0].serve: this listener serves nothing; remove `serve` to serve everything, or name some groups",
                "error: listeners[0].acme_webroot: is not an absolute path; write the whole path, as in `/var/www/acme`",
                "error: listeners[0].mode: only a Unix socket has permissions; remove `mode`, or write `address: unix:/..`",
                "error: listeners[0].mode: is not a set of permissions; write three octal digits after a zero, as in \"0660\"",
            ],
        );
    }

    #[test]
    fn tls_needs_certificates() {
        let (_, problems) = build(r#"[{address: "[::]:443", tls: true}]"#, false);
        assert_eq!(
            problems,
            [
                "error: listeners[0].tls: there are no certificates for it; add a `tls` section with `cert` and `key`, or remove `tls: true`"
            ]
        );
    }

    #[test]
    fn certificates_and_redirects_without_a_tls_listener_are_pointed_out() {
        check(
            r#"[{address: "[::]:80", redirect_https: true}]"#,
            &[
                "warning: tls: no listener uses these certificates; add `tls: true` to a listener",
                "warning: listeners[0].redirect_https: no listener of this gateway has `tls`, so something else must answer https; add a listener with `tls: true`",
            ],
        );
    }

    #[test]
    fn a_gateway_without_listeners_is_refused() {
        check("[]", &["error: listeners: there is no listener; write `- {address: \"[::]:443\", tls: true}` below it"]);
    }

    #[test]
    fn permissions_are_three_octal_digits() {
        let check = |mode: &str, expected: Option<u32>| {
            let (listeners, _) = build(&format!(r#"[{{address: "unix:/run/a", mode: "{mode}"}}]"#), false);
            assert_eq!(listeners.map(|listeners| listeners[0].mode), expected, "{mode}");
        };
        check("0660", Some(0o660));
        check("600", Some(0o600));
        check("66", None);
        check("1777", None);
        check("0o660", None);
        check("rw-rw----", None);
    }
}

mod tls {
    use super::*;

    fn build(yaml: &str) -> (Option<Tls>, Vec<String>) {
        let section: TlsSection = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::default();
        let tls = section.build(&mut problems);
        assert!(problems.as_slice().iter().all(|problem| problem.severity == Severity::Error));
        (tls, problems.as_slice().iter().map(ToString::to_string).collect())
    }

    fn sound(yaml: &str) -> Tls {
        let (tls, problems) = build(yaml);
        assert_eq!(problems, Vec::<String>::new());
        tls.unwrap()
    }

    fn check(yaml: &str, expected: &[&str]) {
        let (tls, problems) = build(yaml);
        assert_eq!(tls, None);
        assert_eq!(problems, expected, "{yaml}");
    }

    #[test]
    fn a_pair_of_files_is_enough() {
        let tls = sound("{cert: /etc/a.pem, key: /etc/a.key}");
        let pair = PairPaths { cert: "/etc/a.pem".into(), key: "/etc/a.key".into(), path: "tls".to_owned() };
        let year = Some(Duration::from_hours(365 * 24));
        let (min_version, unknown_sni) = (MinVersion::Tls12, UnknownSni::Refuse);
        assert_eq!(tls, Tls { pairs: vec![pair], min_version, unknown_sni, hsts: year, reload: Reload::Watch });
    }

    #[test]
    fn a_list_of_pairs_keeps_its_order_and_its_paths() {
        let tls = sound("{certificates: [{cert: /a, key: /b}, {cert: /c, key: /d}]}");
        let paths: Vec<&str> = tls.pairs.iter().map(|pair| pair.path.as_str()).collect();
        assert_eq!(paths, ["tls.certificates[0]", "tls.certificates[1]"]);
    }

    #[test]
    fn the_version_may_come_without_quotes() {
        assert_eq!(sound(r#"{cert: /a, key: /b, min_version: "1.3"}"#).min_version, MinVersion::Tls13);
        assert_eq!(sound("{cert: /a, key: /b, min_version: 1.3}").min_version, MinVersion::Tls13);
        let refused = serde_yaml::from_str::<TlsSection>("{min_version: 1.1}").unwrap_err().to_string();
        assert!(refused.contains(r#"`1.1` is not offered; write "1.2" or "1.3""#), "{refused}");
    }

    #[test]
    fn hsts_is_seconds_or_a_duration_and_zero_turns_it_off() {
        let check = |hsts: &str, seconds: Option<u64>| {
            let tls = sound(&format!("{{cert: /a, key: /b, hsts: {hsts}}}"));
            assert_eq!(tls.hsts, seconds.map(Duration::from_secs), "{hsts}");
        };
        check("300", Some(300));
        check("1d", Some(86400));
        check("0", None);
    }

    #[test]
    fn half_a_pair_is_refused() {
        check(
            "{cert: /a}",
            &["error: tls.cert: a certificate without its key; add `key` with the file of the private key"],
        );
        check("{key: /a}", &["error: tls.key: a key without its certificate; add `cert` with the file of the chain"]);
        check(
            "{certificates: [{cert: /a}]}",
            &[
                "error: tls.certificates[0].key: is missing; write the whole path, as in `/etc/letsencrypt/live/matrix.example.com/fullchain.pem`",
            ],
        );
    }

    #[test]
    fn a_tls_section_has_certificates_in_one_way() {
        check(
            "{}",
            &["error: tls: there is no certificate; add `cert` and `key` with the files of the chain and its key"],
        );
        check(
            "{cert: /a, key: /b, certificates: [{cert: /c, key: /d}]}",
            &[
                "error: tls.cert: `cert` and `certificates` are both set; move `cert` and `key` into the list as `- {cert: .., key: ..}`",
            ],
        );
    }

    #[test]
    fn a_relative_path_is_refused() {
        check(
            "{cert: a.pem, key: /b}",
            &[
                "error: tls.cert: `a.pem` is not an absolute path; write the whole path, as in `/etc/letsencrypt/live/matrix.example.com/fullchain.pem`",
            ],
        );
    }
}
