//! Something to wait for.

use std::sync::{Arc, Condvar, Mutex};

use super::DEADLINE;

/// Holds those who wait until it is opened, once and for all.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through.
    pub(crate) fn open(&self) {
        let (open, changed) = &*self.0;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }

    /// Waits until the gate is open, but not for ever: who waits may be an upstream of a test that has failed.
    pub(crate) fn wait(&self) {
        let (open, changed) = &*self.0;
        drop(changed.wait_timeout_while(open.lock().unwrap(), DEADLINE, |open| !*open).unwrap());
    }
}
