//! What is known of a request while it passes through.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, StatusCode};
use pingora_core::{Error, ErrorType};
use uuid::Uuid;

use super::connection::Deadline;
use super::placing::Placed;
use super::record::{self, Head};
use super::state::{Running, State};
use crate::class::RouteClass;
use crate::decide::Forward;
use crate::headers::Client;
use crate::inbound::Arrival;
use crate::matrix::{Cause, MatrixError};
use crate::role::Role;
use crate::upstream_address::UpstreamId;

/// What is known of a request while it passes through.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one request")]
pub(super) struct Context {
    pub(super) state: Arc<State>,
    pub(super) running: Arc<Running>,
    pub(super) deadline: Option<Arc<Deadline>>,
    pub(super) arrival: Option<Arc<Arrival>>,
    pub(super) head: Option<Head>,
    pub(super) started: Instant,
    pub(super) received: SystemTime,
    pub(super) request_id: HeaderValue,
    pub(super) class: RouteClass,
    pub(super) client: Option<Client>,
    pub(super) forward: Option<Forward>,
    /// Why we answer ourselves, or cut the request short.
    pub(super) cause: Option<Cause>,
    /// The refusal that Pingora carries as a bare status.
    pub(super) refused: Option<Box<MatrixError>>,
    /// Where it is; nothing while it is to be placed, at first or anew.
    pub(super) placed: Option<Placed>,
    /// Where it was last.
    pub(super) upstream: Option<UpstreamId>,
    /// In which role it was placed.
    pub(super) role: Option<Role>,
    /// The role of those who should have answered, and were all gone.
    pub(super) stands_in_for: Option<Role>,
    /// Why it could not be sent where it was placed.
    pub(super) displaced_by: Option<Cause>,
    /// The worker whose answer leaves open whether it knows the endpoint, while the main process is asked.
    pub(super) doubted: Option<UpstreamId>,
    /// Whether it was sent again after its process was lost.
    pub(super) resent: bool,
    /// The process that it was lost with.
    pub(super) lost_at: Option<UpstreamId>,
    /// When it began to wait for somebody who could answer.
    pub(super) waits_since: Option<Instant>,
    /// How long it has waited for a place, or for a process to come back.
    pub(super) waited: Option<Duration>,
    /// The role of its endpoint.
    pub(super) wanted: Option<Role>,
    pub(super) attempts: usize,
    /// When the last attempt to connect began.
    pub(super) connecting: Option<Instant>,
    pub(super) connect: Option<Duration>,
    pub(super) reused: Option<bool>,
    pub(super) first_byte: Option<Duration>,
    /// When the first byte of the body came.
    pub(super) body_started: Option<Instant>,
    /// Whether the deadline is that of the client's next bytes.
    pub(super) awaits_body: bool,
    pub(super) received_bytes: u64,
    /// Body bytes that were handed to the upstream in this attempt.
    pub(super) sent_body: bool,
    /// The body of an answer that is added to, as far as it has come.
    pub(super) held: Option<Vec<u8>>,
    /// The status that the client is being sent.
    pub(super) status: Option<StatusCode>,
    /// Body bytes that were handed to the client's connection.
    pub(super) sent_bytes: u64,
    pub(super) logged: bool,
}

impl Context {
    /// The context of a request whose head has just been read.
    pub(super) fn new(state: Arc<State>) -> Self {
        Self {
            running: state.running(),
            state,
            deadline: Deadline::current(),
            arrival: None,
            head: None,
            started: Instant::now(),
            received: SystemTime::now(),
            request_id: request_id(),
            class: RouteClass::Unknown,
            client: None,
            forward: None,
            cause: None,
            refused: None,
            placed: None,
            upstream: None,
            role: None,
            stands_in_for: None,
            displaced_by: None,
            doubted: None,
            resent: false,
            lost_at: None,
            waits_since: None,
            waited: None,
            wanted: None,
            attempts: 0,
            connecting: None,
            connect: None,
            reused: None,
            first_byte: None,
            body_started: None,
            awaits_body: false,
            received_bytes: 0,
            sent_body: false,
            held: None,
            status: None,
            sent_bytes: 0,
            logged: false,
        }
    }

    /// The request id as it is written in bodies and in the log.
    pub(super) fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Sets the deadline of an HTTP/2 request, which is a pause in its body while the client owes some of it. Pingora
    /// bounds those of HTTP/1.1 alone.
    pub(super) fn await_body(&mut self, owed: bool) {
        let timeouts = &self.running.gateway.timeouts;
        let left = timeouts.total.saturating_sub(self.started.elapsed());
        self.awaits_body = owed && timeouts.body_idle < left;
        self.extend(if self.awaits_body { timeouts.body_idle } else { left });
    }

    /// Moves the deadline to `wait` from now.
    pub(super) fn extend(&self, wait: Duration) {
        if let Some(deadline) = &self.deadline {
            deadline.extend(wait);
        }
    }

    /// Why the request is being dropped.
    pub(super) fn drop_cause(&self) -> Cause {
        let late = self.deadline.as_ref().is_some_and(|deadline| deadline.has_passed());
        match (self.cause, late) {
            (Some(cause), _) => cause,
            (None, _) if std::thread::panicking() => Cause::Internal,
            (None, true) if self.awaits_body => Cause::BodyTimeout,
            (None, true) => Cause::TotalTimeout,
            (None, false) => Cause::Stopped,
        }
    }

    /// Gives the request up with an error that `fail_to_proxy` will tell the client.
    #[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed everywhere")]
    pub(super) fn refuse(&mut self, error: MatrixError) -> Box<Error> {
        self.cause = Some(error.cause);
        let carried = Error::explain(ErrorType::HTTPStatus(error.status.as_u16()), error.cause.as_str());
        self.refused = Some(Box::new(error));
        carried
    }
}

/// Requests are dropped at their deadline and at the end of the process; Pingora then calls nobody.
impl Drop for Context {
    fn drop(&mut self) {
        if !self.logged {
            record::dropped(self);
        }
    }
}

/// Ids that sort by time, so that a log can be searched by them.
fn request_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
