//! How other servers find this homeserver: the steps of the specification (server-server API, "Resolving server names"),
//! as far as the configuration decides them.

use std::net::IpAddr;

use super::Config;
use crate::listen::{Listener, Transport};

/// Where other servers connect to when nothing else is said.
const DEFAULT_PORT: u16 = 8448;

/// The steps in their order, and what this gateway does in each; the first that succeeds wins.
#[must_use]
pub fn delegation(config: &Config) -> Vec<String> {
    let Some(name) = &config.server_name else {
        return vec!["`server_name` is not set, so it cannot be said how other servers find this one".to_owned()];
    };
    let (host, port) = split(name);
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_address || port.is_some() {
        let port = port.unwrap_or(DEFAULT_PORT);
        let step = if is_address { "1. it is an address" } else { "2. it names a port" };
        return vec![format!("{step}: they connect to {host}:{port}, {}", listening(config, port))];
    }
    let document = config.gateway.well_known.delegate().filter(|_| serves(config, 443, |it| it.serve.well_known));
    let third = match &document {
        Some(target) => {
            let port = split(target).1.unwrap_or(DEFAULT_PORT);
            format!(
                "3. https://{name}/.well-known/matrix/server, which this gateway answers with {target}; there, {}",
                listening(config, port)
            )
        }
        None => format!("3. https://{name}/.well-known/matrix/server, which this gateway does not serve on port 443"),
    };
    let fourth =
        format!("4. SRV records _matrix-fed._tcp.{name} and _matrix._tcp.{name}, which are not looked up here");
    let unneeded = document.is_some_and(|target| split(&target).1.is_some_and(|port| port != DEFAULT_PORT))
        && serves(config, DEFAULT_PORT, |it| it.serve.federation);
    let note = if unneeded { "; not needed while step 3 succeeds" } else { "" };
    let fifth = format!("5. {name}:{DEFAULT_PORT}, {}{note}", listening(config, DEFAULT_PORT));
    vec![third, fourth, fifth]
}

fn split(name: &str) -> (&str, Option<u16>) {
    match name.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (name, None),
    }
}

fn serves(config: &Config, port: u16, group: impl Fn(&Listener) -> bool) -> bool {
    let speaks_tls = |it: &Listener| it.transport != Transport::Plain;
    config.listeners.iter().any(|it| it.address.port() == Some(port) && speaks_tls(it) && group(it))
}

fn listening(config: &Config, port: u16) -> String {
    if serves(config, port, |it| it.serve.federation) {
        format!("this gateway serves federation on port {port}")
    } else {
        format!("this gateway does not serve federation on port {port}")
    }
}
