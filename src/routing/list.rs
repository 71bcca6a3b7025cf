//! The table as people and scripts read it.

use serde::{Serialize, Serializer};

use super::release::Release;
use super::rows::{Affinity, Auth, LATER_VERSIONS, NEW_VERSIONS, Query, ROWS, Row, VERSIONS};
use crate::role::Role;

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: &'static str,
    /// The methods. HEAD follows GET.
    pub methods: Vec<&'static str>,
    /// The paths: `*` is one segment, `**` all that follows, `(a|b)` a choice.
    pub paths: Vec<String>,
    /// Who serves them.
    #[serde(serialize_with = "role")]
    pub role: Role,
    /// Which of several processes does.
    #[serde(serialize_with = "affinity")]
    pub affinity: Affinity,
    /// What must be so besides.
    pub only: Vec<&'static str>,
    /// The first release that is known to have them on workers.
    #[serde(serialize_with = "release")]
    pub since: Release,
    /// The last one, if that was before the newest known.
    #[serde(serialize_with = "last")]
    pub until: Option<Release>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn role<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(role.as_str())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn affinity<S: Serializer>(affinity: &Affinity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(affinity.as_str())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn release<S: Serializer>(release: &Release, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(release)
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn last<S: Serializer>(last: &Option<Release>, to: S) -> Result<S::Ok, S::Error> {
    last.map(|release| release.to_string()).serialize(to)
}

/// The rows in the order in which they count: all, or those for one release.
pub fn list(release: Option<Release>) -> impl Iterator<Item = Listed> {
    ROWS.iter().filter(move |row| release.is_none_or(|release| row.is_in(release))).map(Listed::from)
}

impl From<&Row> for Listed {
    fn from(row: &Row) -> Self {
        let delegated = match row.auth {
            Auth::Any => None,
            Auth::Synapse => Some("without Matrix Authentication Service"),
            Auth::Delegated => Some("with Matrix Authentication Service"),
        };
        let query = match row.query {
            Query::Any => None,
            Query::Initial => Some("without a position in the query, or with full_state=true"),
        };
        Self {
            id: row.id,
            methods: row.methods.iter().map(|method| method.as_str()).collect(),
            paths: row.paths.iter().map(|path| written_out(path)).collect(),
            role: row.role,
            affinity: row.affinity,
            only: delegated.into_iter().chain(query).collect(),
            since: row.since,
            until: row.until,
        }
    }
}

fn written_out(path: &str) -> String {
    let choices = [("{V}", &VERSIONS[..]), ("{W}", &LATER_VERSIONS), ("{U}", &NEW_VERSIONS)];
    choices
        .iter()
        .fold(path.to_owned(), |path, (name, versions)| path.replace(name, &format!("({})", versions.join("|"))))
}
