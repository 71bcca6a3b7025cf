//! `control`: where the gateway's own commands reach it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problems;

/// The socket at which the commands `status`, `drain`, `undrain`, `reload` and `explain --live` reach the running gateway.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSection {
    /// The path of a Unix socket, which only the user that runs the gateway and root may use. By default it is
    /// `control.sock` in the runtime directory that the service manager makes, `/run/synapse-gateway`; a gateway that was
    /// started by hand has none.
    pub socket: Option<String>,
}

/// Where commands reach the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The socket that the operator chose.
    pub socket: Option<PathBuf>,
}

impl ControlSection {
    /// Checks the section.
    pub fn build(self, problems: &mut Problems) -> Option<Control> {
        // `sun_path` of unix(7), with the zero at its end.
        const LONGEST: usize = 107;
        let socket = self.socket.map(PathBuf::from);
        if let Some(path) = &socket
            && (!path.is_absolute() || path.as_os_str().len() > LONGEST)
        {
            let message = format!("`{}` is not a path for a socket", path.display());
            let remedy = format!("write a whole path of at most {LONGEST} bytes");
            problems.error("control.socket", message, remedy);
            return None;
        }
        Some(Control { socket })
    }
}
