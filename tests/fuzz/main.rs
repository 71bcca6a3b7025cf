//! Random input against the whole core: nothing panics, and what must never happen does not.
//!
//! `FUZZ_CASES` sets how many cases each property tries: seconds by default, as long as you like by hand. A case that
//! fails is made small and printed.

#![expect(clippy::panic, reason = "a test ends at the first thing that is not as it should be")]

mod configuration;
mod forwarding;
mod heads;

use proptest::test_runner::Config;

/// How hard to try.
fn effort() -> Config {
    let cases = std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000);
    Config { cases, failure_persistence: None, ..Config::default() }
}
