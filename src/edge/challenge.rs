//! Files of the ACME webroot, by which a certificate authority sees who owns a name (RFC 8555, section 8.3).

use std::path::Path;

use http::{HeaderValue, StatusCode};
use log::warn;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::matrix::{Cause, ErrCode, MatrixError};
use crate::reply::{CorsKind, Reply};

/// Bytes of a key authorization: token, dot, thumbprint; and then some.
const MAX_FILE: u64 = 4096;

/// The file of a token, whose characters have been checked.
pub(super) async fn serve(webroot: &Path, token: &str) -> Reply {
    let path = webroot.join(".well-known/acme-challenge").join(token);
    let read = async {
        let mut text = Vec::new();
        File::open(&path).await?.take(MAX_FILE).read_to_end(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    match read.await {
        Ok(text) => {
            let media_type = HeaderValue::from_static("application/octet-stream");
            Reply::document(StatusCode::OK, media_type, text).cors(CorsKind::None)
        }
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                warn!("ACME challenge: a file in {} cannot be read: {error}", webroot.display());
            }
            let message = "There is no such challenge";
            MatrixError::new(StatusCode::NOT_FOUND, ErrCode::NotFound, Cause::UnknownPath, message).into()
        }
    }
}
