//! Carries decisions out: Pingora's phases, in the order in which a request passes through them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING};
use http::{HeaderName, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use uuid::Uuid;

use super::accounts::{Accounts, Question};
use super::answer;
use super::body;
use super::challenge;
use super::context::Context;
use super::failure::{self, Failure};
use super::health;
use super::placing::{self, Wanted};
use super::ready::Readiness;
use super::record::{self, Head};
use super::rendezvous::Desk;
use super::state::{Running, State};
use super::stream;
use super::versions;
use super::writers::Writers;
use crate::decide::{Action, Decision, Destination, Forward};
use crate::headers::{Client, is_stripped};
use crate::inbound::{Inbound, Refusal};
use crate::limits::Limits;
use crate::matrix::{Cause, MatrixError};
use crate::rendezvous::session::Timestamp;
use crate::rendezvous::{Refusal as RendezvousRefusal, Request};
use crate::reply::{CorsKind, Reply};
use crate::routing::access_token;
use crate::upstream::{Placement, Sign, Upstreams};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields between an upstream and us, not between us and the client (RFC 9110, section 7.6.1). `Connection`,
/// `Transfer-Encoding` and `Upgrade` are Pingora's to set.
const HOP_BY_HOP: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("trailer"),
];

/// The kind of error by which a request leaves a worker for the main process.
const DOUBTED: &str = "DoubtfulAnswer";

/// The kind of error by which a request is sent again that was lost behind the process that had it.
const LOST_BEHIND: &str = "LostBehindUpstream";

/// What takes less was no waiting.
const WAITED: Duration = Duration::from_millis(1);

/// How long a WebSocket may last, whatever the time budgets of requests are.
const WEBSOCKET_LIFETIME: Duration = Duration::from_hours(24 * 7);

/// The proxy, as Pingora sees it.
#[derive(Debug)]
pub(super) struct Proxy {
    state: Arc<State>,
    readiness: Readiness,
    accounts: Accounts,
    writers: Writers,
}

impl Proxy {
    /// A proxy that shares `state` with the rest of the process.
    #[must_use]
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { readiness: Readiness::default(), accounts: Accounts::default(), writers: Writers::default(), state }
    }

    /// Reads the request and decides.
    async fn act(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let running = Arc::clone(&ctx.running);
        let Some(arrival) = ctx.arrival.clone() else {
            return Err(Error::explain(ErrorType::InternalError, "a connection that came from nowhere"));
        };
        let target = session.req_header().raw_path();
        let parts = session.req_header().as_ref();
        let bounds = &running.gateway.limits.head;
        let inbound = match exact(session).and_then(|()| Inbound::read(parts, target, &arrival, bounds)) {
            Ok(inbound) => inbound,
            Err(refusal) => {
                let reply = running.gateway.refuse(&session.req_header().method, refusal);
                return answer::send(session, ctx, reply).await;
            }
        };
        let synapse = running.gateway.synapse(self.state.release());
        let Decision { class, client, action, .. } = running.gateway.decide(&inbound, synapse);
        ctx.class = class;
        ctx.client = Some(client);
        match action {
            Action::Forward(forward) => {
                let forward = self.by_user(forward, &inbound, client, &running).await;
                if forward.websocket {
                    ctx.extend(WEBSOCKET_LIFETIME);
                    session.set_read_timeout(Some(forward.silence));
                }
                if let Destination::Role { role, .. } = forward.destination {
                    ctx.wanted = Some(role);
                }
                ctx.forward = Some(forward);
                Ok(false)
            }
            Action::Reply(reply) => answer::send(session, ctx, reply).await,
            Action::Rendezvous(request) => {
                let declared = inbound.content_length;
                if let Some(reply) = self.exchange(session, ctx, &request, declared).await {
                    return answer::send(session, ctx, reply).await;
                }
                session.set_keepalive(None);
                Ok(true)
            }
            Action::AcmeChallenge { webroot, token } => {
                let reply = challenge::serve(webroot, token).await;
                answer::send(session, ctx, reply).await
            }
            Action::Ready => {
                let reply = self.readiness.reply(&running).await;
                answer::send(session, ctx, reply).await
            }
        }
    }
}

impl Proxy {
    /// Places a request by its user instead of its token, where that makes a difference and Synapse says who it is.
    async fn by_user(&self, forward: Forward, inbound: &Inbound<'_>, client: Client, running: &Running) -> Forward {
        let Destination::Role { role, writes, placement: Placement::Key { strict, .. }, by_token: true } =
            forward.destination
        else {
            return forward;
        };
        let plan = running.gateway.upstreams.plan(role, writes).filter(|plan| plan.has_choice());
        let token = access_token(inbound).filter(|_| plan.is_some());
        let Some(token) = token else { return forward };
        let server_name = running.gateway.server_name.as_deref();
        let question = Question { headers: inbound.headers, client, server_name };
        let Some(hash) = self.accounts.user(token, question, running.pools.main()).await else { return forward };
        let placement = Placement::Key { hash, strict };
        let destination = Destination::Role { role, writes, placement, by_token: false };
        Forward { destination, ..forward }
    }

    /// The process without which the one that was asked could not answer, where that may have been all that was wrong
    /// with a request that can be sent again.
    async fn lost_behind(&self, session: &Session, status: StatusCode, ctx: &Context) -> Option<String> {
        let again = may_repeat(&session.req_header().method) && !ctx.resent && is_for_synapse(ctx);
        if status != StatusCode::BAD_GATEWAY || !again || session.as_downstream().retry_buffer_truncated() {
            return None;
        }
        self.writers.gone(&ctx.running).await
    }

    /// The answer to a rendezvous request; None if there is nobody to tell.
    async fn exchange(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        request: &Request,
        declared: Option<u64>,
    ) -> Option<Reply> {
        let (client, running) = (ctx.client?, Arc::clone(&ctx.running));
        let desk = Desk { store: &self.state.store, throttle: &running.throttle };
        let visitor = running.gateway.rendezvous.allowance().visitor(client.address);
        let mut admitted = desk.admit(request, visitor);
        if admitted.is_ok() && request.needs_account() {
            admitted = self.accounts.check(&session.req_header().headers, client, running.pools.main()).await;
        }
        // What would be refused is not read first.
        let limit = request.body_limit().filter(|_| admitted.is_ok());
        if let Some(limit) = limit.filter(|&limit| declared.is_some_and(|length| length > limit)) {
            return Some(request.answer(Err(RendezvousRefusal::TooLarge(limit)), now()));
        }
        match body::read(session, ctx, limit).await {
            Ok(body) => {
                let now = now();
                let outcome = desk.carry_out(request, (visitor, admitted), &body, now, Uuid::new_v4).await;
                self.state.metrics.rendezvous(request.protocol(), &outcome);
                Some(request.answer(outcome, now))
            }
            Err(Failure::Answer(error)) => Some(Reply::from(*error).cors(CorsKind::Rendezvous)),
            Err(Failure::Silent(cause)) => {
                ctx.cause = Some(cause);
                None
            }
        }
    }
}

/// Whether what Pingora parsed is what came over the wire: it cuts off fragments, and takes Content-Length away where a
/// Transfer-Encoding stands beside it.
fn exact(session: &Session) -> Result<(), Refusal> {
    let Some(http1) = session.as_downstream().as_http1() else { return Ok(()) };
    let request = session.req_header();
    let head = http1.get_headers_raw_bytes();
    let after_method = head.strip_prefix(request.method.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
    let after_target = after_method.and_then(|rest| rest.strip_prefix(request.raw_path()));
    if !after_target.is_some_and(|rest| rest.starts_with(b" ")) {
        return Err(Refusal::TargetBytes);
    }
    let is_length = |line: &[u8]| {
        line.split_at_checked(CONTENT_LENGTH.as_str().len()).is_some_and(|(name, rest)| {
            name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str().as_bytes()) && rest.starts_with(b":")
        })
    };
    if request.headers.contains_key(TRANSFER_ENCODING) && head.split(|&byte| byte == b'\n').any(is_length) {
        return Err(Refusal::Length);
    }
    Ok(())
}

/// Places the request, or places it anew after its process could not be reached.
async fn place(ctx: &mut Context) -> Result<()> {
    let Some(forward) = &ctx.forward else {
        return Err(Error::explain(ErrorType::InternalError, "nothing to forward"));
    };
    let mut wanted = Wanted {
        destination: forward.destination,
        class: ctx.class,
        endpoint: forward.endpoint.map(|endpoint| endpoint.id),
        cause: ctx.displaced_by,
        waits_since: ctx.waits_since,
    };
    let begun = Instant::now();
    let mut placed = placing::place(&ctx.running, &mut wanted).await;
    let back = placed.as_ref().ok().map(|placed| placed.upstream).filter(|upstream| ctx.lost_at == Some(*upstream));
    if let Some(pool) = back.and_then(|upstream| ctx.running.pools.get(upstream)) {
        health::settle(pool).await;
        if !pool.is_up() {
            drop(placed);
            placed = placing::place(&ctx.running, &mut wanted).await;
        }
    }
    let taken = begun.elapsed();
    if taken >= WAITED {
        *ctx.waited.get_or_insert_default() += taken;
    }
    ctx.waits_since = wanted.waits_since;
    match placed {
        Ok(placed) => {
            ctx.upstream = Some(placed.upstream);
            ctx.role = placed.role;
            ctx.stands_in_for = placed.stands_in_for;
            ctx.placed = Some(placed);
            Ok(())
        }
        Err(error) => Err(ctx.refuse(error)),
    }
}

/// Whether a request does nothing when it is done twice.
fn may_repeat(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT)
}

/// Whether a request is for Synapse, and not for an upstream of the operator's own.
fn is_for_synapse(ctx: &Context) -> bool {
    matches!(ctx.forward, Some(Forward { destination: Destination::Role { .. }, .. }))
}

/// HTTP/2 splits cookies into fields for compression; HTTP/1.1 has one (RFC 9113, section 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let mut crumbs = request.headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) {
        let mut joined = first.as_bytes().to_vec();
        for crumb in std::iter::once(second).chain(crumbs) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(crumb.as_bytes());
        }
        request.insert_header(COOKIE, joined)?;
    }
    Ok(())
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(Arc::clone(&self.state))
    }

    /// Neither compression nor anything else stands between Synapse and its clients.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        ctx.arrival = stream::arrival(session).cloned();
        ctx.head = Some(Head::of(session.req_header()));
        let timeouts = &ctx.running.gateway.timeouts;
        ctx.extend(timeouts.total);
        // Set where it is none, it would keep HTTP/1.0 connections, and connections at a shutdown, alive.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(timeouts.keep_alive.as_secs().max(1)));
        }
        session.set_read_timeout(Some(timeouts.body_idle));
        session.set_write_timeout(Some(timeouts.write));
        session.set_total_drain_timeout(Some(timeouts.linger));
        // Pingora would close the connection after any answer that came before the end of the body, 100 included.
        session.as_downstream_mut().set_close_on_response_before_downstream_finish(false);
        session.as_downstream_mut().set_pipelining_enabled(true);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        self.act(session, ctx).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        let received = body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        // A retry sends again what was received before.
        let replayed = ctx.attempts > 1 && session.as_downstream().get_retry_buffer().is_some();
        if !replayed {
            ctx.received_bytes += received;
        }
        ctx.sent_body |= received > 0;
        let limits: &Limits = &ctx.running.gateway.limits;
        let limit = ctx.forward.as_ref().map_or(limits.body, |forward| forward.body_limit);
        let upgraded = session.was_upgraded();
        if !upgraded && ctx.received_bytes > limit {
            return Err(ctx.refuse(MatrixError::body_too_large(limit)));
        }
        if received > 0 && !end_of_stream && !upgraded {
            let started = *ctx.body_started.get_or_insert_with(Instant::now);
            if limits.is_too_slow(ctx.received_bytes, started.elapsed()) {
                return Err(ctx.refuse(failure::body_too_slow()));
            }
        }
        if session.as_downstream().is_http2() {
            ctx.await_body(!end_of_stream);
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        if ctx.placed.is_none() {
            let http2 = session.as_downstream().is_http2();
            if http2 {
                // Until it is read again, the client is not what the request waits for.
                ctx.await_body(false);
            }
            place(ctx).await?;
            // The time that this took, and what came before, was not the client's.
            ctx.body_started = None;
            if http2 {
                ctx.await_body(!session.as_downstream_mut().is_body_done());
            }
        }
        let (Some(forward), Some(placed)) = (ctx.forward.as_ref(), ctx.placed.as_ref()) else {
            return Err(Error::explain(ErrorType::InternalError, "nothing to forward"));
        };
        let pool = ctx.running.pools.get(placed.upstream);
        let peer = pool.and_then(|pool| pool.peer(placed.attempt, forward));
        ctx.attempts += 1;
        ctx.connecting = Some(Instant::now());
        ctx.sent_body = false;
        peer.map(Box::new).ok_or_else(|| ctx.refuse(failure::unavailable(Cause::UpstreamUnresolved)))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.reused = Some(reused);
        if !reused {
            ctx.connect = ctx.connecting.map(|connecting| connecting.elapsed());
            if let Some(placed) = &ctx.placed
                && let Some(pool) = ctx.running.pools.get(placed.upstream)
            {
                pool.connected(placed.attempt);
            }
        }
        Ok(())
    }

    /// The next address of the upstream is tried, then another process; nothing has been sent yet.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let Some(placed) = ctx.placed.as_mut() else { return error };
        placed.attempt += 1;
        let has_more = ctx.running.pools.get(placed.upstream).is_some_and(|pool| placed.attempt < pool.len());
        let others =
            ctx.forward.as_ref().is_some_and(|forward| matches!(forward.destination, Destination::Role { .. }));
        if !has_more && others {
            self.state.see(&ctx.running, placed.upstream, Sign::Refused);
            // Its place is free for others.
            ctx.placed = None;
            ctx.displaced_by = match Failure::of(&error, false) {
                Failure::Answer(told) => Some(told.cause),
                Failure::Silent(cause) => Some(cause),
            };
        }
        error.set_retry(has_more || others);
        error
    }

    /// A connection that Synapse closed just as it was taken from the pool: the request is sent again where that cannot
    /// do anything twice.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        let lost = matches!(
            error.etype(),
            ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error
        );
        if matches!(error.etype(), ErrorType::Custom(DOUBTED | LOST_BEHIND)) {
            error.set_retry(true);
            return error;
        }
        let lost = lost && *error.esource() == ErrorSource::Upstream;
        let answered = session.response_written().is_some() || ctx.first_byte.is_some();
        let has_body = !session.as_downstream_mut().is_body_empty();
        let method = &session.req_header().method;
        // A request whose body has not begun to arrive cannot have been carried out.
        let harmless = method.is_idempotent() || (has_body && !ctx.sent_body);
        let stale = reused && harmless;
        // A process that was lost in the middle of a request may have carried it out, and may have been lost because of
        // it: another one is asked once, and only for what does nothing when it is done twice.
        let again = may_repeat(method) && !ctx.resent;
        let others = is_for_synapse(ctx);
        let elsewhere = !stale && again && others;
        let retry = lost && !answered && (stale || elsewhere) && !session.as_downstream().retry_buffer_truncated();
        if retry && elsewhere {
            ctx.resent = true;
            ctx.lost_at = ctx.upstream;
            ctx.displaced_by = Some(Cause::UpstreamClosed);
            ctx.placed = None;
            if let Some(lost) = ctx.upstream {
                self.state.metrics.resent(ctx.running.gateway.upstreams.name(lost));
            }
        }
        error.set_retry(retry);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let stripped: Vec<HeaderName> = request.headers.keys().filter(|name| is_stripped(name)).cloned().collect();
        for name in &stripped {
            request.remove_header(name);
        }
        let Some(client) = ctx.client else {
            return Err(Error::explain(ErrorType::InternalError, "no client"));
        };
        request.insert_header(X_FORWARDED_FOR, client.address.to_string())?;
        request.insert_header(X_FORWARDED_PROTO, client.scheme.as_str())?;
        request.insert_header(ctx.running.gateway.forwarding.request_id().clone(), ctx.request_id.clone())?;
        if session.as_downstream().is_http2() {
            join_cookies(request)?;
        }
        if ctx.forward.as_ref().is_some_and(|forward| forward.advertise) {
            versions::ask(request)?;
        }
        let skip = ctx.forward.as_ref().map_or(0, |forward| forward.skip);
        if skip > 0 {
            let target = request.raw_path().get(skip..).unwrap_or(b"/").to_vec();
            request.set_raw_path(&target)?;
        }
        Ok(())
    }

    /// Two kinds of answers are not passed on: one that may mean that the worker does not know the endpoint, since the
    /// main process is asked; and one of a process that lost another one while it worked for the request.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(placed) = &mut ctx.placed {
            placed.at_door = None;
        }
        if let Some(gone) = self.lost_behind(session, response.status, ctx).await {
            ctx.resent = true;
            ctx.placed = None;
            self.state.metrics.resent(&gone);
            return Err(Error::explain(ErrorType::Custom(LOST_BEHIND), "it is sent again").into_up());
        }
        let endpoint = ctx.forward.as_ref().and_then(|forward| forward.endpoint);
        let (Some(endpoint), Some(upstream)) = (endpoint, ctx.upstream) else { return Ok(()) };
        let recognition = &ctx.running.recognition;
        if let Some(worker) = ctx.doubted {
            let name = ctx.running.gateway.upstreams.name(worker);
            if recognition.compare((worker, name), endpoint.id, response.status) {
                self.state.metrics.unknown_endpoint(name);
            }
            return Ok(());
        }
        let reads = matches!(session.req_header().method, Method::GET | Method::HEAD);
        if upstream == Upstreams::MAIN || !reads || !recognition.is_doubtful(upstream, endpoint.id, response.status) {
            return Ok(());
        }
        ctx.doubted = Some(upstream);
        ctx.placed = None;
        if let Some(forward) = &mut ctx.forward {
            forward.destination = Destination::MAIN;
        }
        Err(Error::explain(ErrorType::Custom(DOUBTED), "the main process is asked").into_up())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            let asked = session.is_upgrade_req() && ctx.forward.as_ref().is_some_and(|forward| forward.websocket);
            if !asked {
                let message = "the upstream switched protocols without being asked";
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, message).into_up());
            }
        } else if response.status.is_informational() {
            return Ok(());
        }
        ctx.first_byte = Some(ctx.started.elapsed());
        ctx.status = Some(response.status);
        let hop: Vec<HeaderName> = response.headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned().collect();
        for name in &hop {
            response.remove_header(name);
        }
        let gateway = &ctx.running.gateway;
        if ctx.forward.as_ref().is_some_and(|forward| forward.matrix) {
            for (name, value) in gateway.cors.corrections(&response.headers).into_iter().flatten() {
                response.insert_header(name, value)?;
            }
        }
        response.insert_header(gateway.forwarding.request_id().clone(), ctx.request_id.clone())?;
        if let Some(hsts) = answer::hsts(ctx, &response.headers) {
            response.insert_header(STRICT_TRANSPORT_SECURITY, hsts)?;
        }
        if ctx.forward.as_ref().is_some_and(|forward| forward.advertise) {
            ctx.held = versions::begin(&session.req_header().method, response)?;
        }
        // The version is that of a hop, and ours speaks 1.1 whatever the upstream speaks.
        response.set_version(Version::HTTP_11);
        if ctx.state.is_stopping() {
            session.set_keepalive(None);
        }
        // HTTP/1.0 does not know chunks: the end of the connection is the end of the body.
        if session.req_header().version == Version::HTTP_10 && response.headers.contains_key(TRANSFER_ENCODING) {
            response.remove_header(&TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        if let Some(added) = ctx.running.gateway.rendezvous.advertisement() {
            versions::pass(&mut ctx.held, body, end_of_stream, added);
        }
        ctx.sent_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        let body_pending = !session.as_downstream_mut().is_body_done();
        let failure = match ctx.refused.take() {
            Some(refused) => Failure::Answer(refused),
            None => Failure::of(error, body_pending),
        };
        let error_code = match failure {
            Failure::Silent(cause) => {
                ctx.cause = Some(cause);
                0
            }
            // The answer has begun: all that can be done is to end it visibly.
            Failure::Answer(refused)
                if session.response_written().is_some_and(|head| !head.status.is_informational()) =>
            {
                let truncated = *error.esource() == ErrorSource::Upstream;
                ctx.cause = Some(if truncated { Cause::UpstreamTruncated } else { refused.cause });
                0
            }
            Failure::Answer(refused) => answer::report(session, ctx, *refused).await,
        };
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        ctx.logged = true;
        record::finished(session, error, ctx);
    }

    /// What Pingora's own messages say of a request: by default they would show its target, tokens and all.
    fn request_summary(&self, session: &Session, ctx: &Context) -> String {
        format!("{} request {}", session.req_header().method, ctx.id())
    }

    /// While Synapse restarts there would be a warning for every request that waits. One says that the process is gone; the
    /// access log and the metrics say what was tried again.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        ctx: &Context,
        error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        log::debug!("request {} is tried again: {error}", ctx.id());
        true
    }

    fn suppress_error_log(&self, _session: &Session, ctx: &Context, error: &Error) -> bool {
        // The access log has the cause; only what an operator must mend is worth an error.
        *error.esource() == ErrorSource::Downstream || ctx.cause.is_some_and(|cause| cause != Cause::Internal)
    }
}
