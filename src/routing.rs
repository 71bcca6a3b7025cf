//! Which endpoint of Synapse a raw path is, and where paths that are not Synapse's go.
//!
//! This room knows paths and methods; it knows neither addresses nor headers.

mod affinity;
mod endpoints;
mod extra;
mod list;
mod mas;
mod matrix_rtc;
mod pattern;
mod release;
mod rows;
mod section;
mod synapse;
mod table;
mod verify;

pub use affinity::{Key, access_token, of_token, of_user_id};
pub use endpoints::{Api, classify};
pub use extra::{ExtraRoute, ExtraRoutes, ExtraTarget};
pub use list::{Listed, list};
pub use mas::{Mas, MasSection};
pub use matrix_rtc::MatrixRtcSection;
pub use release::{Release, ReleaseError};
pub use rows::Affinity;
pub use section::{AdminApi, AdminApiSection, ExtraRouteSection, RespondSection};
pub use synapse::{Paths, SynapseFiles, SynapseKeys, SynapseSection, SynapseSettings, Watch};
pub use table::{Endpoint, Synapse, Table};
pub use verify::{Comparison, Difference, Registered, RegisteredError, SamplesError};

#[cfg(test)]
mod tests;
