//! How long a decision takes: for the slowest of all requests in the goldens of routes, and for some that are frequent.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends at what is wrong"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod requests;

use std::hint::black_box;
use std::time::{Duration, Instant};

use divan::Bencher;
use requests::{SYNAPSE, Sent, all, arrival, gateway};
use synapse_gateway::decide::Gateway;
use synapse_gateway::inbound::Arrival;

const FREQUENT: [&str; 4] = [
    "GET /_matrix/client/v3/sync?since=s1",
    "PUT /_matrix/client/v3/rooms/!r:h/send/m.room.message/1",
    "POST /_matrix/client/v3/keys/query",
    "PUT /_matrix/federation/v1/send/1",
];

fn main() {
    divan::main();
}

fn once(gateway: &Gateway, arrival: &Arrival, sent: &Sent) {
    let inbound = sent.inbound(gateway, arrival);
    black_box(gateway.decide(black_box(&inbound), SYNAPSE));
}

/// The request that takes longest, by the fastest of several bursts.
fn slowest(gateway: &Gateway, arrival: &Arrival) -> Sent {
    let timed = |sent: &Sent| {
        let burst = || {
            let started = Instant::now();
            (0..2_000).for_each(|_| once(gateway, arrival, sent));
            started.elapsed()
        };
        (0..3).map(|_| burst()).min().unwrap_or(Duration::MAX)
    };
    all().into_iter().max_by_key(timed).unwrap()
}

#[divan::bench]
fn slowest_of_all(bencher: Bencher<'_, '_>) {
    let (gateway, arrival) = (gateway(), arrival());
    let sent = slowest(&gateway, &arrival);
    println!("the slowest is {}", sent.name);
    bencher.bench_local(|| once(&gateway, &arrival, &sent));
}

#[divan::bench(args = FREQUENT)]
fn frequent(bencher: Bencher<'_, '_>, name: &str) {
    let (gateway, arrival) = (gateway(), arrival());
    let sent = requests::sent(name.to_owned());
    bencher.bench_local(|| once(&gateway, &arrival, &sent));
}

/// The decision without reading the head.
#[divan::bench]
fn slowest_of_all_once_read(bencher: Bencher<'_, '_>) {
    let (gateway, arrival) = (gateway(), arrival());
    let sent = slowest(&gateway, &arrival);
    let inbound = sent.inbound(&gateway, &arrival);
    bencher.bench_local(|| black_box(gateway.decide(black_box(&inbound), SYNAPSE)));
}
