use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, Version};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::class::RouteClass;
use crate::inbound::Scheme;
use crate::matrix::Cause;
use crate::problem::Problems;

const SECRET: &str = "syt_Zm9v_QUJDREVG_1a2B3c";

fn hidden() -> Vec<String> {
    vec!["/_synapse/client/org.example/rdv".to_owned()]
}

fn redacted(target: &str) -> String {
    RedactedTarget::raw(target, &hidden()).to_string()
}

/// The secret stands in `target` as `{}`; what is written must be `shown`.
#[track_caller]
fn check_target(target: &str, shown: &str) {
    assert_eq!(redacted(&target.replace("{}", SECRET)), shown, "{target}");
}

#[test]
fn tokens_in_a_query_are_redacted_and_harmless_values_shown() {
    check_target(
        "/_matrix/client/v3/sync?access_token={}&timeout=30000&since=s72594_4483_1934&filter=%7B%22room%22%3A%7B%7D%7D",
        "/_matrix/client/v3/sync?access_token=<redacted>&timeout=30000&since=s72594_4483_1934&filter=…",
    );
    check_target(
        "/_matrix/client/v3/join/%23a%3Ab.example?via=b.example&via=c.example%3A8448&server_name=b.example",
        "/_matrix/client/v3/join/%23a%3Ab.example?via=b.example&via=c.example%3A8448&server_name=b.example",
    );
    check_target(
        "/_synapse/client/oidc/callback?code={}&state={}",
        "/_synapse/client/oidc/callback?code=<redacted>&state=<redacted>",
    );
    check_target(
        "/_synapse/client/password_reset/email/submit_token?token={}&client_secret={}&sid={}",
        "/_synapse/client/password_reset/email/submit_token?token=<redacted>&client_secret=<redacted>&sid=<redacted>",
    );
    check_target(
        "/_matrix/client/v1/register/m.login.registration_token/validity?token={}",
        "/_matrix/client/v1/register/m.login.registration_token/validity?token=<redacted>",
    );
    check_target(
        "/_synapse/client/unsubscribe?access_token={}",
        "/_synapse/client/unsubscribe?access_token=<redacted>",
    );
    check_target("/?loginToken={}#/home", "/?loginToken=<redacted>");
}

#[test]
fn an_unknown_parameter_is_left_out_with_its_name() {
    check_target("/a?{}", "/a?<redacted>");
    check_target("/a?{}=", "/a?<redacted>");
    check_target("/a?access%5Ftoken={}", "/a?<redacted>");
    check_target("/a?ACCESS_TOKEN={}&limit=5", "/a?<redacted>&limit=5");
    check_target("/a?limit&&dir=b&", "/a?limit&&dir=b&");
}

#[test]
fn a_shown_value_cannot_carry_a_second_parameter() {
    check_target("/a?limit=5;access_token={}", "/a?limit=5;access_token=<redacted>");
    check_target("/a?limit=5?access_token={}", "/a?limit=<redacted>");
    check_target("/a?limit=5%26access_token={}", "/a?limit=<redacted>");
    check_target("/a?limit=5%2526access_token%253D{}", "/a?limit=<redacted>");
    check_target("/a?from=https://b.example/{}", "/a?from=<redacted>");
    let long = "1".repeat(257);
    check_target(&format!("/a?limit={long}"), "/a?limit=<redacted>");
}

#[test]
fn ids_that_open_a_session_are_redacted_in_the_path() {
    for collection in [
        "/_matrix/client/unstable/org.matrix.msc3886/rendezvous",
        "/_matrix/client/unstable/org.matrix.msc4108/rendezvous",
        "/_matrix/client/unstable/io.element.msc4388/rendezvous",
        "/_matrix/client/v1/rendezvous",
        "/_synapse/client/rendezvous",
        "/_synapse/client/org.matrix.msc3886/rendezvous",
        "/_synapse/client/org.example/rdv",
        "/_matrix/client/unstable/org.matrix.msc4140/delayed_events",
        "/_matrix/client/v1/delayed_events",
        "/_synapse/admin/v1/registration_tokens",
        "/_matrix/client/unstable/org.matrix.msc3886",
    ] {
        check_target(collection, collection);
        check_target(&format!("{collection}/{{}}"), &format!("{collection}/<redacted>"));
        check_target(&format!("{collection}//{{}}/"), &format!("{collection}//<redacted>/"));
        check_target(&format!("{collection}/{{}}/{{}}"), &format!("{collection}/<redacted>/<redacted>"));
    }
    check_target(
        "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/restart",
        "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/<redacted>/restart",
    );
}

#[test]
fn no_spelling_of_a_path_hides_its_secret_from_redaction() {
    check_target("/_matrix/client/v1/rendezvou%73/{}", "/_matrix/client/v1/rendezvou%73/<redacted>");
    check_target("/_matrix/client/v1/RENDEZVOUS/{}", "/_matrix/client/v1/RENDEZVOUS/<redacted>");
    check_target("/_matrix/client/v1/rendezvous%2F{}", "/_matrix/client/v1/rendezvous%2F<redacted>");
    check_target("/_matrix/client/v1/rendezvous%252f{}", "/_matrix/client/v1/rendezvous%252f<redacted>");
    check_target("/_synapse//client/org.example/%72dv/{}", "/_synapse//client/org.example/%72dv/<redacted>");
}

#[test]
fn a_query_that_lost_its_question_mark_is_redacted() {
    check_target("/_matrix/client/v3/sync%3Faccess_token={}", "/_matrix/client/v3/sync<redacted>");
    check_target("/_matrix/client/v3/sync%253faccess_token={}", "/_matrix/client/v3/sync<redacted>");
    check_target("/_matrix/client/v3/sync&access_token={}", "/_matrix/client/v3/sync<redacted>");
    check_target("/_matrix/client/v3/sync;access_token={}", "/_matrix/client/v3/sync<redacted>");
    check_target("/_matrix/client/v3/sync#access_token={}", "/_matrix/client/v3/sync<redacted>");
    check_target("https://user:{}@a.example/", "<redacted>");
    check_target("*", "*");
}

#[test]
fn ordinary_targets_are_shown_byte_for_byte() {
    for target in [
        "/",
        "/_matrix/client/v3/rooms/%21a%3Ab.example/send/m.room.message/m1.2",
        "/_matrix/client/v3/rooms/!a:b.example/state/m.room.member/@c=40d:b.example",
        "/_matrix/federation/v1/send/1700000000000?ver=1&ver=2",
        "/_matrix/client/v3/directory/room/%23a%25b%3Ac.example",
        "/_matrix/client/v1/media/thumbnail/b.example/AbC?width=96&height=96&method=crop&animated=true",
        "/.well-known/matrix/client",
    ] {
        check_target(target, target);
    }
}

#[test]
fn targets_are_escaped_and_bounded() {
    check_target("/a\u{1b}[31m\"\\<b>\n\u{202e}", "/a%1B[31m%22%5C%3Cb%3E%0A%E2%80%AE");
    for filler in ["a", "é", "/a", "\n"] {
        let shown = redacted(&format!("/{}", filler.repeat(5000)));
        assert!(shown.ends_with('…'), "{shown}");
        assert_eq!(shown.len(), MAX_TARGET + '…'.len_utf8());
    }
}

#[test]
fn header_values_are_escaped_and_bounded() {
    let check = |value: &[u8], shown: &str| assert_eq!(EscapedText::new(value).to_string(), shown);
    check(b"Element/1.2 (Linux; Android)", "Element/1.2 (Linux; Android)");
    check(b"a\"b\\c\x1b[0m\n\xff", "a\\x22b\\x5Cc\\x1B[0m\\x0A\\xFF");
    check("é".as_bytes(), "\\xC3\\xA9");
    let long = EscapedText::new(&[b'a'; 5000]).to_string();
    assert_eq!(long, format!("{}…", "a".repeat(MAX_TEXT)));
}

#[test]
fn a_referer_shows_its_origin_only() {
    let check = |header: &str, shown: Option<&str>| {
        assert_eq!(RefererOrigin::read(header.as_bytes()).map(|origin| origin.to_string()).as_deref(), shown);
    };
    check("https://element.example/?loginToken=abc", Some("https://element.example"));
    check("http://localhost:8080?x#y", Some("http://localhost:8080"));
    check("https://[::1]:8448/", Some("https://[::1]:8448"));
    check("https://user:secret@a.example/", None);
    check("https://a.example\"/", None);
    check("https:///path", None);
    check("about:client", None);
}

#[test]
fn an_address_is_shown_as_the_operator_chose() {
    let check = |address: &str, choice, shown: &str| {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(ShownAddress::new(Some(address), choice).to_string(), shown);
    };
    check("203.0.113.77", ClientAddresses::Full, "203.0.113.77");
    check("203.0.113.77", ClientAddresses::Truncated, "203.0.113.0");
    check("::ffff:203.0.113.77", ClientAddresses::Truncated, "203.0.113.0");
    check("2001:db8:1:2:3:4:5:6", ClientAddresses::Truncated, "2001:db8:1::");
    check("203.0.113.77", ClientAddresses::None, "-");
    assert_eq!(ShownAddress::new(None, ClientAddresses::Full).to_string(), "-");
}

#[test]
fn foreign_messages_keep_their_words_and_lose_their_secrets() {
    let check = |message: &str, shown: &str| {
        assert_eq!(RedactedMessage::new(&message.replace("{}", SECRET)).to_string(), shown, "{message}");
    };
    check("Accept() failed Too many open files (os error 24)", "Accept() failed Too many open files (os error 24)");
    check(
        "Fail to proxy: Upstream ConnectRefused, GET /_matrix/client/v3/sync?access_token={}, Host: a.example",
        "Fail to proxy: Upstream ConnectRefused, GET /_matrix/client/v3/sync?access_token=<redacted>, Host: a.example",
    );
    check("InvalidHTTPHeader context: buf: GET / HTTP/1.1\\r\\n{}", "InvalidHTTPHeader context: <redacted>");
    check("\"Authorization\": \"Bearer {}\"", "\"Authorization\": \"Bearer <redacted>\"");
    check(
        "uri: \"https://a.example/_synapse/client/rendezvous/{}\"",
        "uri: \"https://a.example/_synapse/client/rendezvous/<redacted>\"",
    );
    check("sent access_token={}", "sent access_token=<redacted>");
    check("line\nbreak", "line\\x0Abreak");
}

/// A request that was forwarded to a worker over a kept connection.
pub(crate) fn record<'a>(
    target: &'a str,
    hidden: &'a [String],
    method: &'a Method,
    user_agent: &'a str,
) -> AccessRecord<'a> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_502_820_042),
        request_id: "0199f1c2-7d6e-7c4a-9f43-2b8f1f0f7a11",
        client: ShownAddress::new(Some("2001:db8::7".parse().unwrap()), ClientAddresses::Full),
        listener: "[::]:443",
        scheme: Scheme::Https,
        protocol: Version::HTTP_2,
        method,
        target: RedactedTarget::raw(target, hidden),
        host: Some(EscapedText::new(b"matrix.example.com")),
        status: Some(StatusCode::OK),
        cause: None,
        class: RouteClass::LongPoll,
        upstream: Some("sync1"),
        role: Some("sync"),
        stands_in_for: None,
        endpoint: Some("sync"),
        waited: Some(Duration::from_micros(1_500)),
        reused: Some(true),
        retries: 0,
        resent: false,
        bytes_in: 0,
        bytes_out: 1532,
        duration: Duration::from_micros(123_001_234),
        connect: None,
        first_byte: Some(Duration::from_millis(30_042)),
        user_agent: Some(EscapedText::new(user_agent.as_bytes())),
        referer: RefererOrigin::read(b"https://element.example/#/home"),
    }
}

fn written(record: &AccessRecord<'_>, format: Format) -> String {
    let mut line = Vec::new();
    record.write(format, &mut line).unwrap();
    String::from_utf8(line).unwrap()
}

const FORWARDED: &str = "/_matrix/client/v3/sync?timeout=30000&access_token=abc";

#[test]
fn a_forwarded_request_as_json() {
    let line = written(&record(FORWARDED, &[], &Method::GET, "Element \"X\""), Format::Json);
    assert_eq!(
        line,
        concat!(
            r#"{"time":"2026-11-24T06:47:00.042Z","request_id":"0199f1c2-7d6e-7c4a-9f43-2b8f1f0f7a11","#,
            r#""client":"2001:db8::7","listener":"[::]:443","scheme":"https","protocol":"HTTP/2.0","method":"GET","#,
            r#""target":"/_matrix/client/v3/sync?timeout=30000&access_token=<redacted>","host":"matrix.example.com","#,
            r#""status":200,"cause":null,"class":"long_poll","upstream":"sync1","role":"sync","#,
            r#""stands_in_for":null,"endpoint":"sync","waited":0.0015,"reused":true,"#,
            r#""retries":0,"resent":false,"bytes_in":0,"#,
            r#""bytes_out":1532,"duration":123.001234,"connect":null,"first_byte":30.042,"#,
            r#""user_agent":"Element \\x22X\\x22","referer":"https://element.example"}"#,
        )
    );
}

#[test]
fn a_forwarded_request_in_the_combined_format() {
    let line = written(&record(FORWARDED, &[], &Method::GET, "Element \"X\""), Format::Combined);
    assert_eq!(
        line,
        concat!(
            r#"2001:db8::7 - - [24/Nov/2026:06:47:00 +0000] "#,
            r#""GET /_matrix/client/v3/sync?timeout=30000&access_token=<redacted> HTTP/2.0" 200 1532 "#,
            r#""https://element.example" "Element \x22X\x22""#,
        )
    );
}

#[test]
fn a_client_that_left_has_no_status_and_a_cause() {
    let left = AccessRecord {
        client: ShownAddress::new(None, ClientAddresses::Full),
        status: None,
        cause: Some(Cause::ClientGone),
        upstream: None,
        role: None,
        reused: None,
        first_byte: None,
        user_agent: None,
        referer: None,
        bytes_out: 0,
        ..record("/", &[], &Method::POST, "")
    };
    let json: Value = serde_json::from_str(&written(&left, Format::Json)).unwrap();
    for absent in ["client", "status", "upstream", "role", "reused", "first_byte", "user_agent", "referer"] {
        assert_eq!(json[absent], Value::Null, "{absent}");
    }
    assert_eq!(json["cause"], "client_gone");
    assert_eq!(
        written(&left, Format::Combined),
        r#"- - - [24/Nov/2026:06:47:00 +0000] "POST / HTTP/2.0" 499 0 "-" "-""#
    );
}

#[test]
fn every_member_of_a_line_is_documented_in_its_order() {
    let json: Value = serde_json::from_str(&written(&record("/", &[], &Method::GET, ""), Format::Json)).unwrap();
    let members: Vec<&String> = json.as_object().unwrap().keys().collect();
    let fields = fields();
    assert_eq!(fields.iter().map(|field| &field.name).collect::<Vec<_>>(), members);
    assert!(fields.iter().all(|field| field.meaning.ends_with('.')), "{fields:?}");
}

#[test]
fn a_clock_that_is_wrong_costs_no_line() {
    let epoch = SystemTime::UNIX_EPOCH;
    for time in [epoch - Duration::from_secs(1), epoch + Duration::from_secs(1 << 40)] {
        for format in [Format::Json, Format::Combined] {
            let line = written(&AccessRecord { time, ..record("/", &[], &Method::GET, "") }, format);
            assert!(line.contains("1970") || line.contains("9999"), "{line}");
        }
    }
}

/// Where a client may put a secret, as `{}`.
const SENSITIVE_PLACES: &[&str] = &[
    "/_matrix/client/v3/sync?access_token={}",
    "/_matrix/client/v3/sync?timeout=0&access_token={}&since=s1",
    "/_matrix/client/v3/sync?timeout=0;access_token={}",
    "/_matrix/client/v3/sync?timeout=0?access_token={}",
    "/_matrix/client/v3/sync%3Faccess_token={}",
    "/_matrix/client/v3/sync&access_token={}",
    "/_matrix/client/v3/login/sso/redirect?redirectUrl={}",
    "/_matrix/client/v3/auth/m.login.email.identity/fallback/web?session={}",
    "/_matrix/client/v3/register?anything={}",
    "/_matrix/client/v3/register?{}",
    "/_matrix/client/v3/register?filter={}",
    "/_matrix/federation/v1/openid/userinfo?access_token={}",
    "/_matrix/client/v1/rendezvous/{}",
    "/_matrix/client/v1/rendezvous/{}/txn",
    "/_matrix/client/v1/rendezvous%2F{}",
    "/_matrix/client/unstable/org.matrix.msc3886/{}",
    "/_synapse/client/org.example/rdv/{}",
    "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/send",
    "/_synapse/admin/v1/registration_tokens/{}",
    "/_synapse/client/oidc/callback?code={}&state=x",
    "/_synapse/client/unsubscribe?app_id=m.email&access_token={}",
    "/livekit/sfu/rtc?access_token={}&auto_subscribe=1",
    "https://user:{}@a.example/",
];

const REFERERS: &[&str] = &["https://a.example/{}", "https://a.example?{}", "https://{}@a.example/", "{}"];

proptest! {
    #[test]
    fn no_secret_in_any_sensitive_place_is_ever_shown(
        place in proptest::sample::select(SENSITIVE_PLACES),
        secret in "[A-Za-z0-9_.~%-]{12,64}",
        referer_place in proptest::sample::select(REFERERS),
    ) {
        // So that no part of the surroundings can be taken for the secret.
        let secret = format!("Zq{secret}qZ");
        let target = place.replace("{}", &secret);
        let referer = referer_place.replace("{}", &secret);
        let hidden = hidden();
        let record = AccessRecord {
            referer: RefererOrigin::read(referer.as_bytes()),
            ..record(&target, &hidden, &Method::GET, "Element")
        };
        for line in [written(&record, Format::Json), written(&record, Format::Combined), format!("{record:?}")] {
            prop_assert!(!line.contains("Zq") && !line.contains("qZ"), "{}", line);
        }
    }

    #[test]
    fn whatever_a_client_sends_is_one_printable_line(
        target in "\\PC{0,40}|(?s).{0,3000}",
        user_agent in "(?s).{0,600}",
    ) {
        let hidden = hidden();
        let record = record(&target, &hidden, &Method::GET, &user_agent);
        let json = written(&record, Format::Json);
        let combined = written(&record, Format::Combined);
        for line in [&json, &combined] {
            prop_assert!(line.chars().all(|c| matches!(c, ' '..='~' | '…')), "{}", line);
            prop_assert!(line.len() < 2 * MAX_TARGET);
        }
        prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
        prop_assert_eq!(combined.matches('"').count(), 6);
    }

    #[test]
    fn a_foreign_message_is_one_printable_line(message in "(?s).{0,3000}") {
        let shown = RedactedMessage::new(&message).to_string();
        prop_assert!(shown.chars().all(|c| matches!(c, ' '..='~' | '…')), "{}", shown);
    }
}

fn check_log(yaml: &str, expected: Result<Log, &str>) {
    let section: LogSection = serde_yaml::from_str(yaml).unwrap();
    let mut problems = Problems::default();
    let log = section.build(&mut problems);
    match expected {
        Ok(expected) => {
            assert_eq!(log, Some(expected));
            assert!(problems.as_slice().is_empty(), "{problems:?}");
        }
        Err(problem) => {
            assert_eq!(log, None);
            let shown: Vec<String> = problems.as_slice().iter().map(ToString::to_string).collect();
            assert_eq!(shown, [problem]);
        }
    }
}

#[test]
fn the_log_section() {
    let default = Log {
        format: Format::Json,
        target: LogTarget::Stderr,
        client_ip: ClientAddresses::Full,
        level: Level::Info,
        buffer: 4 << 20,
    };
    check_log("{}", Ok(default.clone()));
    check_log(
        "{format: combined, target: /var/log/gateway/access.log, client_ip: truncated, level: warn, buffer: 1M}",
        Ok(Log {
            format: Format::Combined,
            target: LogTarget::File("/var/log/gateway/access.log".into()),
            client_ip: ClientAddresses::Truncated,
            level: Level::Warn,
            buffer: 1 << 20,
        }),
    );
    check_log("target: off", Ok(Log { target: LogTarget::Off, ..default }));
    check_log(
        "target: access.log",
        Err("error: log.target: `access.log` is not a place for the access log; write `stderr` (the journal under \
             systemd), `off`, or the absolute path of a file"),
    );
    check_log(
        "buffer: 1K",
        Err("error: log.buffer: 1KiB is outside of what a log buffer can be; write a size from 64KiB to 1GiB; 4MiB \
             suits most servers"),
    );
}

#[test]
fn redaction_has_no_switch() {
    let error = serde_yaml::from_str::<LogSection>("redact: false").unwrap_err().to_string();
    assert!(error.contains("unknown field `redact`"), "{error}");
}

#[test]
fn the_metrics_section() {
    let check = |yaml: &str, address: Option<&str>, problem_count: usize| {
        let section: MetricsSection = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::default();
        let built = section.build(&mut problems);
        assert_eq!(problems.as_slice().len(), problem_count, "{problems:?}");
        assert_eq!(
            built.map(|metrics| metrics.address),
            (problem_count == 0).then(|| address.map(|a| a.parse().unwrap()))
        );
    };
    check("{}", None, 0);
    check("address: 127.0.0.1:9464", Some("127.0.0.1:9464"), 0);
    check("address: '[::1]:9464'", Some("[::1]:9464"), 0);
    check("address: 127.0.0.1", None, 1);
    check("address: localhost:9464", None, 1);
}

#[test]
fn metric_names_follow_the_conventions_of_prometheus() {
    for metric in names::ALL {
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(metric.name.starts_with("synapse_gateway_") && is_word(metric.name), "{metric:?}");
        assert!(metric.labels.iter().all(|label| is_word(label)), "{metric:?}");
        assert!(metric.help.ends_with('.'), "{metric:?}");
    }
    let mut unique: Vec<_> = names::ALL.iter().map(|metric| metric.name).collect();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names::ALL.len());
}

#[test]
fn labels_come_from_fixed_sets() {
    let check = |status: Option<u16>, label: &str| {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        assert_eq!(STATUS_LABELS[status_index(status)], label);
    };
    check(Some(200), "200");
    check(Some(524), "524");
    check(Some(799), "other");
    check(None, "none");
    assert!(STATUS_LABELS.is_sorted());
    let method = |name: &str| MethodLabel::of(&Method::from_bytes(name.as_bytes()).unwrap()).as_str();
    assert_eq!(["GET", "PROPFIND", "get", "other"].map(method), ["GET", "other", "other", "other"]);
}
