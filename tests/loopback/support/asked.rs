//! One request over either protocol.

use bytes::Bytes;
use http::Request;

use super::client::Client;
use super::h2::H2;
use super::told::Told;

/// Sends a request with a body of a declared length over HTTP/1.1.
#[track_caller]
pub(crate) fn over_h1(client: &mut Client, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Told {
    let fields: String = fields.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: {length}\r\n");
    client.ask(format!("{head}{fields}\r\n{body}")).into()
}

/// Sends a request over HTTP/2; a body has no declared length.
#[track_caller]
pub(crate) fn over_h2(client: &mut H2, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Told {
    let mut request = Request::builder().method(method).uri(format!("https://matrix.example.com{target}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (answer, mut stream) = client.send(request.body(()).unwrap(), body.is_empty());
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    }
    client.answer(answer).unwrap().into()
}
