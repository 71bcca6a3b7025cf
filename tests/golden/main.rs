//! Golden tests: one file is one case, or one generated document. `BLESS=1` rewrites what is expected.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first thing that is not as it should be")]

mod architecture;
mod bless;
mod config;
mod derive;
mod guide;
mod loader;
mod packaging;
mod reference;
mod registered;
mod routes;
