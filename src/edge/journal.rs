//! The gateway's own messages, one line each on standard error.
//!
//! Under systemd a line starts with the priority that the journal reads (sd-daemon(3)), and has no time of its own.
//! Messages of the libraries underneath go through redaction: they may quote requests.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::panic::PanicHookInfo;

use log::{LevelFilter, Record};

use crate::observe::{Level, RedactedMessage};

/// Errors and warnings that any stranger can cause at will, or that only say that a client went away, that a pooled
/// connection could not be used again, or that a body has ended twice: the target and the beginning of the message. They are
/// shown at `debug`.
const NOISE: &[(&str, &str)] = &[
    ("pingora_core::services::listening", "Downstream handshake"),
    ("pingora_core::apps", "H2 handshake error"),
    ("pingora_core::connectors", "failed to acquire reusable stream"),
    ("pingora_core::protocols::tls::rustls::server", "TLS shutdown failed"),
    ("pingora_proxy", "Fail to proxy: Downstream"),
    ("pingora_proxy", "failed to send error response to downstream"),
    ("pingora_proxy", "Error finish sending body to downstream"),
    ("pingora_proxy::proxy_h1", "Upstream body is already finished"),
];

/// Starts to write messages, and makes a panic one of them. A second call changes the level only.
pub fn start(level: Level) {
    let to_journal = stderr_is_journal();
    let installed = env_logger::Builder::new()
        .filter_level(LevelFilter::Debug)
        .format(move |out, record| write_line(out, record, log::max_level(), to_journal))
        .try_init();
    if installed.is_ok() {
        std::panic::set_hook(Box::new(report_panic));
    }
    set_level(level);
}

/// Sets the least severe message that is written.
pub fn set_level(level: Level) {
    log::set_max_level(match level {
        Level::Error => LevelFilter::Error,
        Level::Warn => LevelFilter::Warn,
        Level::Info => LevelFilter::Info,
        Level::Debug => LevelFilter::Debug,
    });
}

/// Whether standard error is connected to the journal, as systemd.exec(5) says to find out: a program that systemd
/// started may have been given another standard error since.
#[must_use]
pub fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|stderr| is_named(&stderr, &stream))
}

fn is_named(file: &Metadata, stream: &OsStr) -> bool {
    *stream == *format!("{}:{}", file.dev(), file.ino())
}

/// What a line of the given level on standard error begins with: nothing, unless it goes to the journal.
#[must_use]
pub fn prefix(level: log::Level) -> &'static str {
    if stderr_is_journal() { priority(level) } else { "" }
}

/// The prefix of a line of the given level in the journal.
#[must_use]
pub(super) const fn priority(level: log::Level) -> &'static str {
    match level {
        log::Level::Error => "<3>",
        log::Level::Warn => "<4>",
        log::Level::Info => "<6>",
        log::Level::Debug | log::Level::Trace => "<7>",
    }
}

fn write_line(out: &mut impl Write, record: &Record<'_>, most: LevelFilter, to_journal: bool) -> io::Result<()> {
    let is_ours = record.target().starts_with(env!("CARGO_CRATE_NAME"));
    let level = if is_ours { Some(record.level()) } else { foreign_level(record) };
    let Some(level) = level.filter(|level| *level <= most) else {
        return Ok(());
    };
    let prefix = match (to_journal, level) {
        (true, level) => priority(level),
        (false, log::Level::Error) => "error: ",
        (false, log::Level::Warn) => "warning: ",
        (false, log::Level::Info) => "",
        (false, log::Level::Debug | log::Level::Trace) => "debug: ",
    };
    let message = record.args().to_string();
    if is_ours {
        writeln!(out, "{prefix}{}", one_line(&message))
    } else {
        writeln!(out, "{prefix}{}: {}", record.target(), RedactedMessage::new(&message))
    }
}

/// How severe a message of a library is for us. Details that it writes for its own developers show whole requests.
fn foreign_level(record: &Record<'_>) -> Option<log::Level> {
    match record.level() {
        level @ (log::Level::Error | log::Level::Warn) => {
            let message = record.args().to_string();
            let is_noise =
                |(target, start): &(&str, &str)| record.target().starts_with(target) && message.starts_with(start);
            Some(if NOISE.iter().any(is_noise) { log::Level::Debug } else { level })
        }
        log::Level::Info => Some(log::Level::Debug),
        log::Level::Debug | log::Level::Trace => None,
    }
}

/// A line break in a message would start a line that nobody wrote.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A message that was formatted may quote what a client sent; a literal cannot.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)");
    log::error!("internal error, please report it: panic at {place}: {message}");
}

#[cfg(test)]
mod tests;
