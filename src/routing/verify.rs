//! Whether the table is true of an installed Synapse, which knows best what it registers and where.
//!
//! Every path that Synapse registers becomes a few sample paths, and the table is asked for each of them. This room does
//! not run Synapse: what Synapse says comes in as text.

mod deliberate;
mod samples;

use std::collections::HashSet;

use serde::{Deserialize, Serialize, Serializer};

use self::deliberate::reason;
pub use self::samples::SamplesError;
use super::release::{Release, ReleaseError};
use super::rows::ROWS;
use super::table::{Endpoint, Synapse, Table};
use crate::role::Role;

/// What an installed Synapse registers.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The release, in full.
    pub version: String,
    /// The same, as the table is asked.
    pub synapse: Synapse,
    requests: Vec<Request>,
}

/// A sample of the requests that Synapse knows.
#[derive(Clone, Debug)]
struct Request {
    method: http::Method,
    example: String,
    /// The path as Synapse registers it.
    path: String,
    by_worker: bool,
}

/// The first line of what is read.
#[derive(Deserialize)]
struct Head {
    version: String,
    delegated: bool,
}

/// One of the others: a path, and the methods with which either kind of process takes it.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of what is read")]
struct Path {
    path: String,
    main: Vec<String>,
    worker: Vec<String>,
}

/// What was read is not what a Synapse registers.
#[derive(Debug, thiserror::Error)]
pub enum RegisteredError {
    /// It names no release, or no path.
    #[error("it names no release, or no path")]
    Empty,
    /// A line is not understood.
    #[error("line {number} is not understood: {error}")]
    Line {
        /// Which one.
        number: usize,
        /// Why.
        error: serde_json::Error,
    },
    /// The release is not one.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A method is none.
    #[error("a method of {path} is none")]
    Method {
        /// Whose.
        path: String,
    },
    /// A path cannot be taken apart.
    #[error("{path} cannot be compared: {error}")]
    Path {
        /// Which one.
        path: String,
        /// Why.
        error: SamplesError,
    },
}

/// Requests that the table and Synapse do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The method.
    pub method: String,
    /// The path as Synapse registers it.
    pub path: String,
    /// A path that it stands for.
    pub example: String,
    /// The row of the table that has it; None for the main process.
    pub endpoint: Option<&'static str>,
    /// Who serves it by the table.
    #[serde(serialize_with = "name")]
    pub role: Role,
    /// Why this is meant to be so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn name<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.as_str())
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparison {
    /// How many requests were compared.
    pub compared: usize,
    /// What the table gives to workers, no worker knows, and the main process would answer.
    pub harmful: Vec<Difference>,
    /// What the table gives to the main process, though workers would answer it too.
    pub missed: Vec<Difference>,
    /// What is one or the other on purpose.
    pub deliberate: Vec<Difference>,
    /// Rows of the table that none of the requests is for.
    pub not_compared: Vec<&'static str>,
}

impl Registered {
    /// Reads one JSON object a line: `version` and `delegated`, then `path`, `main` and `worker` for each path.
    pub fn read(text: &str) -> Result<Self, RegisteredError> {
        fn object<'a, T: Deserialize<'a>>((number, line): (usize, &'a str)) -> Result<T, RegisteredError> {
            serde_json::from_str(line).map_err(|error| RegisteredError::Line { number: number + 1, error })
        }
        let mut lines = text.lines().enumerate();
        let Head { version, delegated } = lines.next().map(object).transpose()?.ok_or(RegisteredError::Empty)?;
        let mut requests = Vec::new();
        for line in lines {
            let path: Path = object(line)?;
            if path.is_reached() {
                path.sample(&mut requests)?;
            }
        }
        if requests.is_empty() {
            return Err(RegisteredError::Empty);
        }
        let synapse = Synapse { release: version.parse()?, delegated };
        Ok(Self { version, synapse, requests })
    }

    /// Asks the table for everything that Synapse registers.
    #[must_use]
    pub fn compare(&self, table: &Table) -> Comparison {
        let mut comparison = Comparison { compared: self.requests.len(), ..Comparison::default() };
        let mut met = HashSet::new();
        let mut told = HashSet::new();
        for request in &self.requests {
            let found = request.endpoint(table, None, self.synapse);
            let further = request.endpoint(table, Some("since=s&from=t"), self.synapse);
            met.extend([found, further].into_iter().flatten().map(|endpoint| endpoint.id));
            // One example will do, where the same becomes of all of them.
            if found.is_some() != request.by_worker
                && told.insert((&request.method, &request.path, found.map(|found| found.id)))
            {
                comparison.tell(request, found);
            }
        }
        let Synapse { release, delegated } = self.synapse;
        let rows = ROWS.iter().filter(|row| row.is_in(release) && row.is_with(delegated));
        comparison.not_compared = rows.map(|row| row.id).filter(|id| !met.contains(id)).collect();
        comparison
    }

    /// The newest release, up to the one that is installed, for which the table gives no worker what it does not know.
    #[must_use]
    pub fn harmless(&self, table: &Table) -> Option<Release> {
        let mut releases = Release::OLDEST.up_to(self.synapse.release.min(Release::NEWEST));
        releases.rfind(|&release| {
            let synapse = Synapse { release, ..self.synapse };
            self.requests.iter().all(|request| {
                let found = request.endpoint(table, None, synapse);
                request.by_worker || found.is_none() || request.reason(true).is_some()
            })
        })
    }
}

impl Path {
    /// Synapse registers some servlets of the admin API among those of the client API, where no request for them arrives.
    fn is_reached(&self) -> bool {
        !self.path.starts_with("^/_synapse/admin/")
    }

    fn sample(self, requests: &mut Vec<Request>) -> Result<(), RegisteredError> {
        let Self { path, main, worker } = self;
        let samples = match samples::of(&path) {
            Ok(samples) => samples,
            Err(error) => return Err(RegisteredError::Path { path, error }),
        };
        let only_worker = worker.iter().filter(|method| !main.contains(method));
        for name in main.iter().chain(only_worker) {
            let Ok(method) = name.parse::<http::Method>() else { return Err(RegisteredError::Method { path }) };
            requests.extend(samples.iter().map(|example| Request {
                method: method.clone(),
                example: example.clone(),
                path: path.clone(),
                by_worker: worker.contains(name),
            }));
        }
        Ok(())
    }
}

impl Request {
    fn endpoint(&self, table: &Table, query: Option<&str>, synapse: Synapse) -> Option<Endpoint> {
        table.find(&self.method, &self.example, query, synapse)
    }

    fn reason(&self, to_worker: bool) -> Option<&'static str> {
        reason(&self.method, &self.example, to_worker)
    }
}

impl Comparison {
    fn tell(&mut self, request: &Request, found: Option<Endpoint>) {
        let reason = request.reason(found.is_some());
        let list = match (reason, found) {
            (Some(_), _) => &mut self.deliberate,
            (None, Some(_)) => &mut self.harmful,
            (None, None) => &mut self.missed,
        };
        list.push(Difference {
            method: request.method.to_string(),
            path: request.path.clone(),
            example: request.example.clone(),
            endpoint: found.map(|found| found.id),
            role: found.map_or(Role::Main, |found| found.role),
            reason,
        });
    }
}

#[cfg(test)]
mod tests;
