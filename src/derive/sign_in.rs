//! Who looks after log-ins: Synapse, a provider of single sign-on, or Matrix Authentication Service (MAS).

use super::document::{Document, Entry};
use super::files::Settings;
use super::report::Report;
use super::server::public_url;
use super::value::{child, items, text, truth};
use crate::upstream_address::UpstreamAddress;
use crate::yaml::{Mark, Node};

/// Where Synapse expects MAS unless something else is said (`synapse/config/mas.py`).
const DEFAULT_ENDPOINT: &str = "http://localhost:8080";

/// Whether MAS looks after log-ins.
pub(super) fn is_delegated(settings: &Settings) -> bool {
    let enabled = |node: Option<&Node>| node.and_then(truth) == Some(true);
    enabled(settings.below("matrix_authentication_service", "enabled"))
        || enabled(experiment(settings).and_then(|section| child(section, "enabled")))
}

/// Whether Synapse has a provider of single sign-on.
pub(super) fn has_sso(settings: &Settings) -> bool {
    let enabled = |section: &str| settings.below(section, "enabled").and_then(truth) == Some(true);
    let providers = settings.get("oidc_providers").and_then(items).is_some_and(|list| !list.is_empty());
    providers
        || enabled("oidc_config")
        || enabled("cas_config")
        || settings.below("saml2_config", "sp_config").is_some()
}

/// The section of the experiment that MAS began as.
fn experiment<'f>(settings: &Settings<'f>) -> Option<&'f Node> {
    settings.below("experimental_features", "msc3861")
}

pub(super) fn describe(settings: &Settings, document: &mut Document, report: &mut Report) {
    if let Some(section) = experiment(settings) {
        let message = "Synapse no longer starts with it";
        let remedy = "write `matrix_authentication_service` with `enabled` and `endpoint` instead";
        report.warning(section.mark, "experimental_features.msc3861", message, remedy);
    }
    if !is_delegated(settings) {
        return;
    }
    let Some((endpoint, mark)) = endpoint(settings) else {
        let section = settings.get("matrix_authentication_service").or(experiment(settings));
        let mark = section.map_or(settings.start, |section| section.mark);
        let message = "Matrix Authentication Service looks after log-ins, and where it listens for plain HTTP is not said \
                       here";
        let remedy = "write `mas: {endpoint: http://127.0.0.1:8080/}` into the gateway's file";
        report.warning(mark, "matrix_authentication_service.endpoint", message, remedy);
        return;
    };
    document.push(Entry::section("mas", vec![Entry::value("endpoint", endpoint, mark)]));
    let text = "`/_synapse/mas` is for the gateway's own host; should MAS run elsewhere, list it in `mas.mas_networks`";
    report.note(mark, text);
}

/// Where MAS listens for plain HTTP, as far as anything says so.
fn endpoint<'f>(settings: &Settings<'f>) -> Option<(&'f str, Mark)> {
    let usable = |node: &'f Node| {
        let url = text(node)?;
        public_url(url)?;
        (url.parse::<UpstreamAddress>().is_ok()).then_some((url, node.mark))
    };
    if let Some(section) = settings.get("matrix_authentication_service")
        && child(section, "enabled").and_then(truth) == Some(true)
    {
        return child(section, "endpoint").map_or(Some((DEFAULT_ENDPOINT, section.mark)), usable);
    }
    child(experiment(settings)?, "issuer").and_then(usable)
}
