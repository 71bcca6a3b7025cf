//! Chains of proxies, honest and not.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;
use synapse_gateway::headers::ForwardingSection;
use synapse_gateway::inbound::{Arrival, HeadBounds, Inbound, Scheme, Serve};
use synapse_gateway::problem::Problems;

const BOUNDS: HeadBounds = HeadBounds { target: 8192, head: 16384, fields: 100 };

fn hop() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<[u8; 4]>().prop_map(|octets| IpAddr::from(octets).to_string()),
        2 => any::<[u8; 2]>().prop_map(|[a, b]| format!("10.0.{a}.{b}")),
        1 => any::<u128>().prop_map(|bits| format!("[{}]:443", std::net::Ipv6Addr::from(bits))),
        1 => "[ -~]{0,12}",
    ]
}

proptest! {
    #![proptest_config(super::effort())]

    #[test]
    fn the_client_is_the_peer_or_the_last_untrusted_hop_of_a_trusted_peer(
        fields in prop::collection::vec(prop::collection::vec(hop(), 0..5), 0..4),
        trusted in any::<bool>(),
    ) {
        let section = ForwardingSection {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..ForwardingSection::default()
        };
        let forwarding = section.build(&mut Problems::default()).unwrap();
        let peer: IpAddr = if trusted { [10, 9, 9, 9].into() } else { [192, 0, 2, 1].into() };
        let arrival = Arrival {
            listener: "test".to_owned(),
            scheme: Scheme::Https,
            serve: Serve::ALL,
            port: None,
            peer: Some(peer),
            trusted: false,
            redirect_https: None,
            acme_webroot: None,
        };
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::GET;
        parts.headers.insert("host", HeaderValue::from_static("a"));
        for hops in &fields {
            let value = HeaderValue::from_str(&hops.join(", ")).unwrap();
            parts.headers.append(HeaderName::from_static("x-forwarded-for"), value);
        }
        let inbound = Inbound::read(&parts, b"/", &arrival, &BOUNDS).unwrap();
        let client = forwarding.client(&inbound).address;
        if !trusted {
            prop_assert_eq!(client, peer);
        } else if client != peer {
            let chain: Vec<&String> = fields.iter().flatten().collect();
            let written = |hop: &&String| hop.contains(&client.to_string()) || hop.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical() == client);
            prop_assert!(chain.iter().any(written), "{client} is in none of {chain:?}");
        }
    }
}
