//! Which endpoint of Synapse a raw path is, and where paths that are not Synapse's go.
//!
//! This room knows paths and methods; it knows neither addresses nor headers.

mod endpoints;
mod extra;
mod section;

pub use endpoints::{Api, classify};
pub use extra::{ExtraRoute, ExtraRoutes, ExtraTarget};
pub use section::{AdminApi, AdminApiSection, ExtraRouteSection, RespondSection};

#[cfg(test)]
mod tests;
