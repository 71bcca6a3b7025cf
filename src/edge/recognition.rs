//! Which workers know which endpoints, as their answers tell.
//!
//! A worker that does not know an endpoint answers 404 or 405, and so does one that does not find what was asked for.
//! Until it has once answered otherwise, the main process is asked too: if it finds something, the worker does not know
//! the endpoint, and gets no more such requests.

use dashmap::DashMap;
use http::StatusCode;
use log::warn;

use crate::upstream_address::UpstreamId;

/// What was found out. As many entries as there are endpoints and workers at most.
#[derive(Debug, Default)]
pub(super) struct Recognition {
    known: DashMap<(UpstreamId, &'static str), bool>,
}

impl Recognition {
    /// Whether an answer leaves open whether the worker knows the endpoint.
    pub(super) fn is_doubtful(&self, worker: UpstreamId, endpoint: &'static str, status: StatusCode) -> bool {
        let doubtful = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if !doubtful && !self.known.contains_key(&(worker, endpoint)) {
            self.known.insert((worker, endpoint), true);
        }
        doubtful && !self.known.contains_key(&(worker, endpoint))
    }

    /// Whether the worker is known not to know the endpoint.
    pub(super) fn is_unknown_to(&self, worker: UpstreamId, endpoint: &'static str) -> bool {
        self.known.get(&(worker, endpoint)).is_some_and(|knows| !*knows)
    }

    /// The endpoints that a worker is known not to know.
    pub(super) fn unknown_to(&self, worker: UpstreamId) -> Vec<&'static str> {
        let unknown = self.known.iter().filter(|known| known.key().0 == worker && !*known.value());
        let mut endpoints: Vec<_> = unknown.map(|known| known.key().1).collect();
        endpoints.sort_unstable();
        endpoints
    }

    /// The main process has answered in place of a worker that did not: whether that shows that the worker does not know
    /// the endpoint.
    pub(super) fn compare(&self, worker: (UpstreamId, &str), endpoint: &'static str, main: StatusCode) -> bool {
        let (id, name) = worker;
        let shown = main.is_success() && self.known.insert((id, endpoint), false).is_none();
        if shown {
            warn!("upstream {name}: it does not know the endpoint `{endpoint}`, which the main process now serves");
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: UpstreamId = UpstreamId(1);

    #[test]
    fn a_worker_that_has_once_answered_is_believed() {
        let recognition = Recognition::default();
        assert!(recognition.is_doubtful(WORKER, "profile", StatusCode::NOT_FOUND));
        assert!(!recognition.compare((WORKER, "w"), "profile", StatusCode::NOT_FOUND));
        assert!(recognition.is_doubtful(WORKER, "profile", StatusCode::METHOD_NOT_ALLOWED), "nothing was proven");
        assert!(!recognition.is_doubtful(WORKER, "profile", StatusCode::OK));
        assert!(!recognition.is_doubtful(WORKER, "profile", StatusCode::NOT_FOUND));
        assert!(recognition.is_doubtful(WORKER, "other", StatusCode::NOT_FOUND));
        assert!(!recognition.is_unknown_to(WORKER, "profile"));
    }

    #[test]
    fn a_worker_that_the_main_process_had_to_stand_in_for_is_asked_no_more() {
        let recognition = Recognition::default();
        assert!(recognition.is_doubtful(WORKER, "profile", StatusCode::NOT_FOUND));
        assert!(recognition.compare((WORKER, "w"), "profile", StatusCode::OK));
        assert!(recognition.is_unknown_to(WORKER, "profile"));
        assert_eq!((recognition.unknown_to(WORKER), recognition.unknown_to(UpstreamId(2))), (vec!["profile"], vec![]));
        assert!(!recognition.is_unknown_to(UpstreamId(2), "profile"));
    }
}
