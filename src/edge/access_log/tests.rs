use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use http::Method;
use tempfile::TempDir;

use super::*;
use crate::observe::tests::record;
use crate::observe::{ClientAddresses, Level};

const LONG: Duration = Duration::from_secs(30);

fn dropped() -> IntCounter {
    IntCounter::new("dropped_total", "Lines that were lost.").unwrap()
}

fn log(target: impl Into<PathBuf>) -> Log {
    Log {
        format: Format::Json,
        target: LogTarget::File(target.into()),
        client_ip: ClientAddresses::Full,
        level: Level::Info,
        buffer: 1 << 20,
    }
}

fn write(log: &AccessLog, path: &str) {
    log.write(&record(path, &[], &Method::GET, "Element"));
}

fn targets(file: &Path) -> Vec<String> {
    let member = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["target"].as_str().unwrap().to_owned()
    };
    fs::read_to_string(file).unwrap().lines().map(member).collect()
}

#[test]
fn lines_of_all_threads_arrive_whole() {
    const THREADS: usize = 4;
    const LINES: usize = 200;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("access.log");
    let dropped = dropped();
    let log = AccessLog::start(&log(&file), dropped.clone()).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || (0..LINES).for_each(|line| write(log, &format!("/{thread}/{line:03}"))));
        }
    });
    assert!(log.flush(LONG));
    let mut written = targets(&file);
    let of_one_thread: Vec<_> = written.iter().filter(|target| target.starts_with("/0/")).collect();
    assert!(of_one_thread.is_sorted());
    written.sort();
    written.dedup();
    assert_eq!(written.len(), THREADS * LINES);
    assert_eq!(dropped.get(), 0);
}

#[test]
fn the_file_is_appended_to_and_not_open_to_others() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("access.log");
    for path in ["/first", "/second"] {
        let log = AccessLog::start(&log(&file), dropped()).unwrap();
        write(&log, path);
        assert!(log.flush(LONG));
    }
    assert_eq!(targets(&file), ["/first", "/second"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("access.log");
    let rotated = directory.path().join("access.log.1");
    let log = AccessLog::start(&log(&file), dropped()).unwrap();
    write(&log, "/before");
    fs::rename(&file, &rotated).unwrap();
    log.reopen();
    assert!(log.flush(LONG));
    write(&log, "/after");
    assert!(log.flush(LONG));
    assert_eq!(targets(&rotated), ["/before"]);
    assert_eq!(targets(&file), ["/after"]);
}

#[test]
fn a_file_that_cannot_be_reopened_is_written_on() {
    let directory = TempDir::new().unwrap();
    let kept = TempDir::new().unwrap();
    let file = directory.path().join("access.log");
    let moved = kept.path().join("access.log");
    let log = AccessLog::start(&log(&file), dropped()).unwrap();
    fs::rename(&file, &moved).unwrap();
    directory.close().unwrap();
    log.reopen();
    write(&log, "/after");
    assert!(log.flush(LONG));
    assert_eq!(targets(&moved), ["/after"]);
}

#[test]
fn a_dropped_log_writes_what_it_was_given() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("access.log");
    let log = AccessLog::start(&log(&file), dropped()).unwrap();
    write(&log, "/last");
    let shared = Arc::clone(log.shared.as_ref().unwrap());
    drop(log);
    let queue = shared.emptied.wait_timeout_while(shared.lock(), LONG, |queue| queue.done < queue.ordered).unwrap();
    assert!(!queue.1.timed_out());
    drop(queue);
    assert_eq!(targets(&file), ["/last"]);
}

#[test]
fn lines_beyond_the_buffer_are_counted_and_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("access.log");
    let dropped = dropped();
    let log = AccessLog::start(&Log { buffer: 100, ..log(&file) }, dropped.clone()).unwrap();
    write(&log, "/");
    write(&log, "/");
    assert!(log.flush(LONG));
    assert_eq!(dropped.get(), 2);
    assert_eq!(targets(&file), [""; 0]);
}

#[test]
fn lines_that_a_full_disk_refuses_are_counted() {
    let dropped = dropped();
    let log = AccessLog::start(&log("/dev/full"), dropped.clone()).unwrap();
    for _ in 0..3 {
        write(&log, "/");
    }
    assert!(log.flush(LONG));
    assert_eq!(dropped.get(), 3);
}

#[test]
fn losses_are_reported_once_a_minute_with_their_cause() {
    let dropped = dropped();
    let mut losses = Losses::new(&dropped);
    losses.report(&dropped, None);
    assert!(losses.silent_until.is_none());
    dropped.inc_by(5);
    losses.report(&dropped, None);
    assert_eq!(losses.reported, 5);
    dropped.inc_by(2);
    losses.report(&dropped, Some(io::ErrorKind::StorageFull.into()));
    assert_eq!((losses.reported, losses.error.is_some()), (5, true));
    losses.silent_until = losses.silent_until.and_then(|until| until.checked_sub(REPORT_INTERVAL));
    losses.report(&dropped, None);
    assert_eq!((losses.reported, losses.error.is_some()), (7, false));
}

#[test]
fn a_log_that_is_off_needs_no_file() {
    let off = Log { target: LogTarget::Off, ..log("/nonexistent/access.log") };
    let log = AccessLog::start(&off, dropped()).unwrap();
    write(&log, "/");
    assert!(log.flush(Duration::ZERO));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = AccessLog::start(&log("/nonexistent/access.log"), dropped()).unwrap_err().to_string();
    assert_eq!(error, "cannot open the access log /nonexistent/access.log: No such file or directory (os error 2)");
}
