//! `explain`: why and where a request goes, from the same decision that the running proxy carries out.

mod serving;

use std::io::{self, BufRead, Write};
use std::net::IpAddr;

use anyhow::{Context as _, bail, ensure};
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::{Map, Value, json};
use structopt::StructOpt;

use self::serving::{release, tell_role, tell_roles};
use super::orders::{Gateway as Running, unexpected};
use super::prepare::prepare;
use super::synapse::Reader;
use super::{Exit, problems};
use crate::config::Config;
use crate::decide::{Action, Decision, Forward, Gateway};
use crate::edge::control::{Answer, Order, Status};
use crate::headers::{Client, is_stripped};
use crate::inbound::{Arrival, Inbound, Scheme};
use crate::listen::{Listener, Transport};
use crate::matrix::MatrixError;
use crate::reply::{Body, Reply};

/// Says why and where a request goes, without sending it
#[derive(Debug, StructOpt)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Explain {
    #[structopt(flatten)]
    running: Running,
    /// Prints a JSON object for each request, or for each role
    #[structopt(long)]
    json: bool,
    /// Reads requests from standard input, one `METHOD URL` a line
    #[structopt(long)]
    batch: bool,
    /// The address that the request comes from
    #[structopt(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    from: IpAddr,
    /// The listener that it comes to, by its address as configured; by default the first that fits the URL
    #[structopt(long, value_name = "ADDRESS")]
    listener: Option<String>,
    /// A header of the request
    #[structopt(short = "H", long = "header", value_name = "NAME: VALUE", number_of_values = 1)]
    headers: Vec<String>,
    /// Asks the running gateway which processes are there, and says where it would send the request now
    #[structopt(long)]
    live: bool,
    /// Says of each role of Synapse's workers who serves it and who stands in, in place of a request
    #[structopt(long, conflicts_with_all = &["batch", "live", "method"])]
    roles: bool,
    /// The method, such as GET
    #[structopt(required_unless_one = &["batch", "roles"], conflicts_with = "batch")]
    method: Option<String>,
    /// The URL, or a path and query
    #[structopt(required_unless_one = &["batch", "roles"])]
    url: Option<String>,
}

impl Explain {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let (prepared, found) = prepare(self.running.config(), Reader::Command);
        let Some(prepared) = prepared else {
            problems::print(&found, err)?;
            return Ok(Exit::Configuration);
        };
        let config = &prepared.config;
        if self.roles {
            tell_roles(&config.gateway.upstreams, self.json, out)?;
            return Ok(Exit::Fine);
        }
        let live = if self.live { Some(self.status()?) } else { None };
        let known = Known { config, live: live.as_ref() };
        if self.batch {
            return self.explain_all(known, out, err);
        }
        if let (Some(method), Some(url)) = (&self.method, &self.url) {
            self.explain(known, method, url, out)?;
        }
        Ok(Exit::Fine)
    }

    fn status(&self) -> anyhow::Result<Status> {
        let answer = self.running.ask(&Order::Status)?;
        if let Answer::Status(status) = answer { Ok(status) } else { Err(unexpected(&answer)) }
    }

    fn explain_all(&self, known: Known<'_>, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut exit = Exit::Fine;
        for (number, line) in io::stdin().lock().lines().enumerate() {
            let line = line?;
            let explained = match line.split_once(' ') {
                _ if line.trim().is_empty() => continue,
                Some((method, url)) => self.explain(known, method, url.trim(), out),
                None => Err(anyhow::anyhow!("`{line}` is not `METHOD URL`")),
            };
            if let Err(error) = explained {
                writeln!(err, "line {}: {error:#}", number + 1)?;
                exit = Exit::Failure;
            }
        }
        Ok(exit)
    }

    fn explain(&self, known: Known<'_>, method: &str, url: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        let asked = Asked::read(method, url, &self.headers)?;
        let listener = self.listener(known.config, &asked)?;
        let arrival = listener.arrival(listener.address.port(), Some(self.from.to_canonical()));
        let explanation = explain(known, &asked, &arrival);
        if self.json {
            // In a batch a line has to say what it is about.
            let told = [("method", method), ("url", url)].map(|(key, value)| (key.to_owned(), json!(value)));
            let told: Map<String, Value> = told.into_iter().chain(explanation).collect();
            writeln!(out, "{}", Value::Object(told))?;
            return Ok(());
        }
        writeln!(out, "{method} {url}")?;
        for (key, value) in &explanation {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null => "none".to_owned(),
                Value::Array(list) if list.is_empty() => "none".to_owned(),
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
            };
            writeln!(out, "  {:<16} {text}", key.replace('_', " "))?;
        }
        Ok(())
    }

    fn listener<'a>(&self, config: &'a Config, asked: &Asked) -> anyhow::Result<&'a Listener> {
        if let Some(named) = &self.listener {
            let found = config.listeners.iter().find(|listener| listener.address.to_string() == *named);
            return found.with_context(|| format!("there is no listener on {named}"));
        }
        let tls = |listener: &&Listener| (listener.transport != Transport::Plain) == (asked.scheme == Scheme::Https);
        let port = |listener: &&Listener| listener.address.port() == asked.port;
        let of_scheme = config.listeners.iter().filter(tls);
        let found = of_scheme.clone().find(port).or_else(|| of_scheme.clone().next()).or(config.listeners.first());
        found.context("there is no listener")
    }
}

/// What requests are explained from.
#[derive(Clone, Copy)]
struct Known<'a> {
    config: &'a Config,
    /// What the running gateway says.
    live: Option<&'a Status>,
}

/// A request that nobody sent.
struct Asked {
    parts: Parts,
    target: String,
    scheme: Scheme,
    port: Option<u16>,
}

impl Asked {
    fn read(method: &str, url: &str, headers: &[String]) -> anyhow::Result<Self> {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::from_bytes(method.as_bytes()).with_context(|| format!("`{method}` is not a method"))?;
        let (scheme, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some((scheme, _)) => bail!("`{scheme}` is not a scheme of ours; write https:// or http://"),
            None => (Scheme::Https, url),
        };
        let (authority, target) = match rest.find('/') {
            Some(0) => ("localhost", rest.to_owned()),
            Some(slash) => {
                let (authority, target) = rest.split_at(slash);
                (authority, target.to_owned())
            }
            None => (rest, "/".to_owned()),
        };
        let named: Authority = authority.parse().context("the host is malformed")?;
        let default = if scheme == Scheme::Https { 443 } else { 80 };
        parts.headers.insert(HOST, HeaderValue::from_str(authority).context("the host is malformed")?);
        for header in headers {
            let (name, value) = header.split_once(':').with_context(|| format!("`{header}` is not `Name: value`"))?;
            let name = HeaderName::from_bytes(name.trim().as_bytes())
                .with_context(|| format!("`{name}` is not a header name"))?;
            let value =
                HeaderValue::from_str(value.trim()).with_context(|| format!("the value of {name} is malformed"))?;
            if name == HOST || name == CONTENT_LENGTH {
                parts.headers.insert(name, value);
            } else {
                parts.headers.append(name, value);
            }
        }
        ensure!(!target.is_empty(), "there is no path");
        Ok(Self { parts, target, scheme, port: named.port_u16().or(Some(default)) })
    }
}

fn explain(known: Known<'_>, asked: &Asked, arrival: &Arrival) -> Map<String, Value> {
    let gateway = &known.config.gateway;
    let mut told = Map::new();
    told.insert("listener".to_owned(), json!(arrival.listener));
    let inbound = match Inbound::read(&asked.parts, asked.target.as_bytes(), arrival, &gateway.limits.head) {
        Ok(inbound) => inbound,
        Err(refusal) => {
            told.insert("rule".to_owned(), json!("request head"));
            tell_reply(&mut told, &MatrixError::from(refusal).into());
            return told;
        }
    };
    let Decision { class, rule, client, action } = gateway.decide(&inbound, gateway.synapse(release(known.live)));
    told.insert("host".to_owned(), json!(inbound.authority));
    told.insert("client".to_owned(), json!(client.address.to_string()));
    told.insert("scheme".to_owned(), json!(client.scheme.as_str()));
    told.insert("rule".to_owned(), json!(rule.as_str()));
    told.insert("class".to_owned(), json!(class.as_str()));
    match action {
        Action::Forward(forward) => tell_forward(&mut told, known, &inbound, client, &forward),
        Action::Reply(reply) => tell_reply(&mut told, &reply),
        Action::Rendezvous(request) => {
            told.insert("action".to_owned(), json!("answered from the rendezvous store"));
            told.insert("protocol".to_owned(), json!(request.protocol().as_str()));
            told.insert("operation".to_owned(), json!(request.operation.as_str()));
            told.insert("needs_account".to_owned(), json!(request.needs_account()));
            told.insert("body_limit".to_owned(), json!(request.body_limit()));
        }
        Action::AcmeChallenge { webroot, token } => {
            told.insert("action".to_owned(), json!("answered with a file of the ACME webroot"));
            let file = webroot.join(".well-known/acme-challenge").join(token);
            told.insert("file".to_owned(), json!(file.display().to_string()));
        }
        Action::Ready => {
            told.insert("action".to_owned(), json!("answered by whether Synapse answers"));
        }
    }
    told
}

fn tell_forward(told: &mut Map<String, Value>, known: Known<'_>, inbound: &Inbound, client: Client, forward: &Forward) {
    let gateway: &Gateway = &known.config.gateway;
    let choice = gateway.choice(forward.destination);
    let upstream = choice.and_then(|choice| gateway.upstreams.as_slice().get(choice.upstream.0));
    let address = upstream.map(|upstream| upstream.address.to_string());
    let whole = inbound.query.map_or_else(|| inbound.path.to_owned(), |query| format!("{}?{query}", inbound.path));
    told.insert("action".to_owned(), json!("forwarded"));
    told.insert("upstream".to_owned(), json!(upstream.map(|upstream| upstream.name.as_str())));
    told.insert("address".to_owned(), json!(address));
    tell_role(told, gateway, forward, known.live);
    told.insert("target".to_owned(), json!(whole.get(forward.skip..)));
    told.insert("silence".to_owned(), json!(format!("{:?}", forward.silence)));
    told.insert("total".to_owned(), json!(format!("{:?}", gateway.timeouts.total)));
    told.insert("body_limit".to_owned(), json!(forward.body_limit));
    told.insert("websocket".to_owned(), json!(forward.websocket));
    if forward.advertise {
        told.insert("advertise".to_owned(), json!(true));
    }
    let request_id = gateway.forwarding.request_id();
    let added = [
        format!("x-forwarded-for: {}", client.address),
        format!("x-forwarded-proto: {}", client.scheme.as_str()),
        format!("{request_id}: (made for each request)"),
    ];
    told.insert("headers_added".to_owned(), json!(added));
    let removed: Vec<&str> = inbound.headers.keys().filter(|name| is_stripped(name)).map(HeaderName::as_str).collect();
    told.insert("headers_removed".to_owned(), json!(removed));
}

fn tell_reply(told: &mut Map<String, Value>, reply: &Reply) {
    told.insert("action".to_owned(), json!("answered here"));
    told.insert("status".to_owned(), json!(reply.status.as_u16()));
    for (name, value) in &reply.headers {
        told.insert(name.to_string(), json!(String::from_utf8_lossy(value.as_bytes())));
    }
    match &reply.body {
        Body::Error(error) => {
            told.insert("errcode".to_owned(), json!(error.errcode.as_str()));
            told.insert("error".to_owned(), json!(error.message));
            told.insert("cause".to_owned(), json!(error.cause.as_str()));
        }
        Body::Full(body) => {
            told.insert("body".to_owned(), json!(String::from_utf8_lossy(body)));
        }
        Body::Empty => {}
    }
}
