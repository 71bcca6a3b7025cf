use std::os::unix::fs::MetadataExt as _;

use log::{Level, LevelFilter, Record};

use super::*;

const OURS: &str = "synapse_gateway::edge::server";
const PROXY: &str = "pingora_proxy";

fn line(level: Level, target: &str, message: &str, most: LevelFilter, to_journal: bool) -> String {
    let mut out = Vec::new();
    let arguments = format_args!("{message}");
    let record = Record::builder().level(level).target(target).args(arguments).build();
    write_line(&mut out, &record, most, to_journal).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(level: Level, target: &str, message: &str, written: &str) {
    assert_eq!(line(level, target, message, LevelFilter::Debug, true), written);
}

#[test]
fn the_journal_gets_priorities_and_a_terminal_gets_words() {
    let check = |level, journal: &str, terminal: &str| {
        assert_eq!(line(level, OURS, "it happened", LevelFilter::Debug, true), journal);
        assert_eq!(line(level, OURS, "it happened", LevelFilter::Debug, false), terminal);
    };
    check(Level::Error, "<3>it happened\n", "error: it happened\n");
    check(Level::Warn, "<4>it happened\n", "warning: it happened\n");
    check(Level::Info, "<6>it happened\n", "it happened\n");
    check(Level::Debug, "<7>it happened\n", "debug: it happened\n");
}

#[test]
fn a_message_is_one_line() {
    check(Level::Info, OURS, "a\n<3>b\u{1b}[31mé", "<6>a\\n<3>b\\u{1b}[31mé\n");
}

#[test]
fn messages_of_libraries_name_their_origin_and_show_no_secret() {
    check(
        Level::Error,
        PROXY,
        "Fail to proxy: Upstream ConnectTimedout, GET /_matrix/client/v3/sync?access_token=abc, Host: a.example",
        "<3>pingora_proxy: Fail to proxy: Upstream ConnectTimedout, GET \
         /_matrix/client/v3/sync?access_token=<redacted>, Host: a.example\n",
    );
    check(Level::Warn, "rustls::msgs", "odd\nthing", "<4>rustls::msgs: odd\\x0Athing\n");
}

#[test]
fn noise_shows_at_debug_only() {
    let check = |level, target, message| {
        assert_eq!(line(level, target, message, LevelFilter::Info, true), "", "{message}");
        assert!(line(level, target, message, LevelFilter::Debug, true).starts_with("<7>"), "{message}");
    };
    let listening = "pingora_core::services::listening";
    check(Level::Error, listening, "Downstream handshake error from 192.0.2.1:5: TLSHandshakeFailure");
    check(Level::Error, listening, "Downstream handshake timeout");
    check(Level::Error, PROXY, "Fail to proxy: Downstream ConnectionClosed, status: 0, tries: 0");
    check(Level::Warn, "pingora_proxy::proxy_h1", "Upstream body is already finished. Nothing to write");
    check(Level::Info, "pingora_core::server", "Server starting");
    let real = line(Level::Error, listening, "Accept() failed Too many open files", LevelFilter::Error, true);
    assert_eq!(real, "<3>pingora_core::services::listening: Accept() failed Too many open files\n");
}

#[test]
fn details_of_libraries_are_never_shown() {
    check(Level::Debug, PROXY, "Request header: RequestHeader { .. }", "");
    check(Level::Trace, PROXY, "Request header: RequestHeader { .. }", "");
}

#[test]
fn the_level_holds_back_what_is_less_severe() {
    assert_eq!(line(Level::Info, OURS, "m", LevelFilter::Warn, true), "");
    assert_eq!(line(Level::Warn, OURS, "m", LevelFilter::Warn, true), "<4>m\n");
}

#[test]
fn the_journal_is_known_by_device_and_inode() {
    let file = tempfile::tempfile().unwrap().metadata().unwrap();
    assert!(is_named(&file, OsStr::new(&format!("{}:{}", file.dev(), file.ino()))));
    assert!(!is_named(&file, OsStr::new(&format!("{}:{}", file.dev(), file.ino() + 1))));
    assert!(!is_named(&file, OsStr::new("")));
}
