//! Another process that has the sessions, as far as that can be told through its control socket.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::{ORDER, Successor, answer};
use crate::edge::store::{MemoryStore, Store};

/// Answers until it is dropped.
pub(in crate::edge::store) struct Elsewhere {
    directory: TempDir,
    serving: JoinHandle<()>,
}

impl Elsewhere {
    pub(in crate::edge::store) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let store = Arc::new(Store::Memory(MemoryStore::default()));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut order = [0; ORDER.len()];
                    stream.read_exact(&mut order).await.unwrap();
                    assert_eq!(order, *ORDER);
                    answer(&store, &[], stream).await.unwrap();
                });
            }
        });
        Self { directory, serving }
    }

    /// A store that asks it.
    pub(in crate::edge::store) fn store(&self) -> Store {
        let memory = MemoryStore::default();
        memory.arrive(self.successor());
        Store::Memory(memory)
    }

    pub(in crate::edge::store) fn successor(&self) -> Successor {
        Successor::new(self.socket())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
