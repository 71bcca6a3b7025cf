//! Signs of life, from the runtime that serves connections.
//!
//! A task there shows that the runtime runs; that says nothing of a single worker that is stuck, whose connections wait
//! for ever. So each worker must have gone on since the last sign.

use std::sync::Arc;
use std::time::Duration;

use log::error;
use tokio::runtime::{Handle, RuntimeMetrics};

use super::ServiceManager;

/// How many signs are given in the time that the service manager grants. A worker that does not go on for one of these
/// spans is stuck.
const SIGNS: u32 = 4;

/// Tells the service manager that requests are served.
#[derive(Debug)]
pub(in crate::edge) struct Watchdog {
    service: Arc<ServiceManager>,
    every: Duration,
}

impl Watchdog {
    /// None if nobody wants to know.
    pub(in crate::edge) fn new(service: &Arc<ServiceManager>) -> Option<Self> {
        let every = service.reach.watchdog? / SIGNS;
        service.is_there().then(|| Self { service: Arc::clone(service), every })
    }

    /// Gives signs for as long as the runtime that it is called in lives.
    pub(in crate::edge) async fn run(self) {
        let metrics = Handle::current().metrics();
        let mut before: Option<Vec<Pace>> = None;
        let mut stuck = false;
        loop {
            let now: Vec<Pace> = (0..metrics.num_workers()).map(|worker| Pace::of(&metrics, worker)).collect();
            let was_stuck = stuck;
            stuck = before.is_some_and(|before| before.iter().zip(&now).any(|(before, now)| now.is_stuck(before)));
            if !stuck {
                self.service.alive();
            } else if !was_stuck {
                error!("internal error, please report it: a thread that serves connections does not go on");
            }
            before = Some(now);
            tokio::time::sleep(self.every).await;
        }
    }
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// Odd while it waits for something to do.
    parks: u64,
    /// Counted whenever it looks for events, which it does every few dozen tasks.
    busy: Duration,
}

impl Pace {
    fn of(metrics: &RuntimeMetrics, worker: usize) -> Self {
        Self { parks: metrics.worker_park_unpark_count(worker), busy: metrics.worker_total_busy_duration(worker) }
    }

    fn is_stuck(&self, before: &Self) -> bool {
        self == before && self.parks.is_multiple_of(2)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn paces(runtime: &tokio::runtime::Runtime) -> Vec<Pace> {
        let metrics = runtime.handle().metrics();
        (0..metrics.num_workers()).map(|worker| Pace::of(&metrics, worker)).collect()
    }

    fn stuck(before: &[Pace], after: &[Pace]) -> usize {
        before.iter().zip(after).filter(|(before, after)| after.is_stuck(before)).count()
    }

    #[test]
    fn a_worker_that_does_not_go_on_is_told_from_those_that_wait_and_those_that_are_busy() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
        let (entered, stand) = mpsc::channel();
        let (free, blocked) = mpsc::channel::<()>();
        let blocking = runtime.spawn(async move {
            entered.send(()).unwrap();
            blocked.recv().unwrap();
        });
        stand.recv().unwrap();
        let busy = runtime.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        // The first samples may be from before a worker has gone to sleep.
        let mut before = paces(&runtime);
        let mut seen = 0;
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(50));
            let after = paces(&runtime);
            seen = stuck(&before, &after);
            before = after;
            if seen == 1 {
                break;
            }
        }
        assert_eq!(seen, 1);
        free.send(()).unwrap();
        runtime.block_on(blocking).unwrap();
        let before = paces(&runtime);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(stuck(&before, &paces(&runtime)), 0);
        busy.abort();
    }
}
