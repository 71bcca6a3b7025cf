//! The access log on its way to a file or to standard error.
//!
//! A request appends its line to a buffer in memory and goes on; a thread of its own carries the buffer away. When the
//! target is slower than the requests, lines are lost and counted, and no request waits.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::journal;
use crate::observe::{AccessRecord, Format, Log, LogTarget};

/// How long a line waits for company, so that a busy server does not wake the writer for each.
const GATHERING: Duration = Duration::from_millis(100);
/// So many bytes are company enough.
const ENOUGH: usize = 128 << 10;
/// What a buffer keeps of the memory that a burst made it take.
const KEPT: usize = 1 << 20;
/// How often lost lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);
/// Readable by the group, which is `adm` where the package made the directory.
const MODE: u32 = 0o640;

thread_local! {
    /// Where a line is formed before the lock is taken.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why the access log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The file cannot be opened for appending.
    #[error("cannot open the access log {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives us no thread.
    #[error("cannot start the thread that writes the access log: {0}")]
    Thread(#[source] io::Error),
}

/// The access log. When it is dropped, its thread writes what is left and ends by itself.
#[derive(Debug)]
pub struct AccessLog {
    /// None where the log is off.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    format: Format,
    prefix: &'static str,
    bound: usize,
    dropped: IntCounter,
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// Orders given so far, lines and reopenings alike.
    ordered: u64,
    /// Of those, how many are carried out.
    done: u64,
    reopen: bool,
    flush: bool,
    closed: bool,
}

impl Queue {
    const fn is_urgent(&self) -> bool {
        self.reopen || self.flush || self.closed
    }
}

impl AccessLog {
    /// Opens the target and starts the writer. Lost lines are counted in `dropped`.
    pub fn start(log: &Log, dropped: IntCounter) -> Result<Self, AccessLogError> {
        let sink = match &log.target {
            LogTarget::Off => return Ok(Self { shared: None }),
            LogTarget::Stderr => Sink::Stderr,
            LogTarget::File(path) => Sink::File { file: open(path)?, path: path.clone() },
        };
        let to_journal = matches!(sink, Sink::Stderr) && journal::stderr_is_journal();
        let shared = Arc::new(Shared {
            format: log.format,
            prefix: if to_journal { journal::priority(log::Level::Info) } else { "" },
            bound: log.buffer,
            dropped,
            queue: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || carry(&writer, sink))
            .map_err(AccessLogError::Thread)?;
        Ok(Self { shared: Some(shared) })
    }

    /// Adds a line. Never waits for the target.
    pub fn write(&self, record: &AccessRecord<'_>) {
        if let Some(shared) = &self.shared {
            LINE.with_borrow_mut(|line| shared.push(record, line));
        }
    }

    /// Opens the file anew, after it was rotated. If that fails, the old one stays in use and an error is logged.
    pub fn reopen(&self) {
        if let Some(shared) = &self.shared {
            let mut queue = shared.lock();
            queue.reopen = true;
            queue.ordered += 1;
            shared.filled.notify_one();
        }
    }

    /// Waits until all that was written before has reached the target. False if that takes longer than `within`.
    pub fn flush(&self, within: Duration) -> bool {
        let Some(shared) = &self.shared else {
            return true;
        };
        let mut queue = shared.lock();
        queue.flush = true;
        shared.filled.notify_one();
        let ordered = queue.ordered;
        let waited = shared.emptied.wait_timeout_while(queue, within, |queue| queue.done < ordered);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.done >= ordered
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.lock().closed = true;
            shared.filled.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: &AccessRecord<'_>, line: &mut Vec<u8>) {
        line.clear();
        line.extend_from_slice(self.prefix.as_bytes());
        if record.write(self.format, line).is_err() {
            self.dropped.inc();
            return;
        }
        line.push(b'\n');
        let mut queue = self.lock();
        let before = queue.lines.len();
        let after = before + line.len();
        if after > self.bound {
            drop(queue);
            self.dropped.inc();
            return;
        }
        queue.lines.extend_from_slice(line);
        queue.ordered += 1;
        drop(queue);
        if before == 0 || (before < ENOUGH && after >= ENOUGH) {
            self.filled.notify_one();
        }
    }

    /// Waits for work and takes it: the lines in `batch`, and what else is to do.
    fn take(&self, batch: &mut Vec<u8>) -> Turn {
        let is_idle = |queue: &mut Queue| queue.lines.is_empty() && !queue.is_urgent();
        let is_small = |queue: &mut Queue| queue.lines.len() < ENOUGH && !queue.is_urgent();
        let queue = self.filled.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let gathered = self.filled.wait_timeout_while(queue, GATHERING, is_small);
        let (mut queue, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.lines, batch);
        let turn = Turn { reopen: queue.reopen, last: queue.closed, ordered: queue.ordered };
        queue.reopen = false;
        queue.flush = false;
        turn
    }

    fn finish(&self, turn: &Turn) {
        self.lock().done = turn.ordered;
        self.emptied.notify_all();
    }
}

struct Turn {
    reopen: bool,
    last: bool,
    ordered: u64,
}

enum Sink {
    Stderr,
    File { path: PathBuf, file: File },
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::File { file, .. } => file.write_all(lines),
        }
    }

    fn reopen(&mut self) {
        match self {
            Self::Stderr => {}
            Self::File { path, file } => match open(path) {
                Ok(opened) => *file = opened,
                Err(error) => log::error!("{error}; the file that was open stays in use"),
            },
        }
    }
}

fn open(path: &Path) -> Result<File, AccessLogError> {
    let opened = OpenOptions::new().append(true).create(true).mode(MODE).open(path);
    opened.map_err(|source| AccessLogError::Open { path: path.to_owned(), source })
}

/// The writer's life.
fn carry(shared: &Shared, mut sink: Sink) {
    let mut batch = Vec::new();
    let mut losses = Losses::new(&shared.dropped);
    loop {
        let turn = shared.take(&mut batch);
        // Lines from before a rotation belong to the file from before it.
        let written = if batch.is_empty() { Ok(()) } else { sink.write(&batch) };
        if written.is_err() {
            shared.dropped.inc_by(batch.iter().map(|byte| u64::from(*byte == b'\n')).sum());
        }
        if turn.reopen {
            sink.reopen();
        }
        shared.finish(&turn);
        losses.report(&shared.dropped, written.err());
        batch.clear();
        batch.shrink_to(KEPT);
        if turn.last {
            return;
        }
    }
}

/// Lost lines are reported at most once a minute.
struct Losses {
    reported: u64,
    silent_until: Option<Instant>,
    error: Option<io::Error>,
}

impl Losses {
    fn new(dropped: &IntCounter) -> Self {
        Self { reported: dropped.get(), silent_until: None, error: None }
    }

    fn report(&mut self, dropped: &IntCounter, error: Option<io::Error>) {
        self.error = error.or_else(|| self.error.take());
        let lost = dropped.get().saturating_sub(self.reported);
        if lost == 0 {
            return;
        }
        let now = now();
        if self.silent_until.is_some_and(|until| now < until) {
            return;
        }
        match self.error.take() {
            Some(error) => log::warn!("the access log lost {lost} lines: {error}"),
            None => log::warn!("the access log lost {lost} lines, because its target is too slow"),
        }
        self.reported += lost;
        self.silent_until = Some(now + REPORT_INTERVAL);
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge reads clocks")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
