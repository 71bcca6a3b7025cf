//! What is written down about a request, and under which names it is counted.
//!
//! The room turns finished requests into log lines and names the metrics. It must not know where lines and numbers go:
//! files, the journal and the registry belong to the edge. Secrets are kept out by type: a record cannot be built from
//! a raw target, header or address.

mod metrics;
mod record;
mod redact;
mod section;

pub use metrics::{
    CONNECTION_BUCKETS, Handshake, MethodLabel, Metric, REQUEST_BUCKETS, Reload, STATUS_LABELS, names, status_index,
};
pub use record::{AccessRecord, Field, fields};
pub use redact::{EscapedText, MAX_TARGET, MAX_TEXT, RedactedMessage, RedactedTarget, RefererOrigin, ShownAddress};
pub use section::{ClientAddresses, Format, Level, Log, LogSection, LogTarget, Metrics, MetricsSection};

#[cfg(test)]
pub(crate) mod tests;
