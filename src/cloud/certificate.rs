//! The certificate of the local cloud's port with TLS, which is made for each start, and what lets workers trust it.

use base64::{Engine, engine::general_purpose::STANDARD};
use camino::{Utf8Path, Utf8PathBuf};

/// The names that the certificate is for.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Files of trusted certificates, for programs that run here and post to the local cloud.
#[derive(Debug, Clone)]
pub struct Trust {
    /// For Node, which adds them to its own.
    added: Utf8PathBuf,
    /// For SDKs, which trust nothing else: with the system's.
    all: Utf8PathBuf,
}

impl Trust {
    /// The variables by which Node, boto3, the AWS CLI, and AWS's SDK for Go are told; and by the last one programs in Go and Rust, and
    /// whatever uses OpenSSL. Java has no such variable.
    #[must_use]
    pub fn variables(&self) -> [(String, String); 3] {
        [
            ("NODE_EXTRA_CA_CERTS".to_owned(), self.added.to_string()),
            ("AWS_CA_BUNDLE".to_owned(), self.all.to_string()),
            ("SSL_CERT_FILE".to_owned(), self.all.to_string()),
        ]
    }
}

/// Makes a certificate with its key in `directory`, which nobody else can read, and the files that name it as trusted.
pub(super) fn write(directory: &Utf8Path) -> Result<Trust, String> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned));
    let made = made.map_err(|error| format!("no certificate for it: {error}"))?;
    let own = made.cert.pem();
    let of_user = std::env::var_os("AWS_CA_BUNDLE").and_then(|path| fs_err::read_to_string(path).ok());
    let added = format!("{own}{}", of_user.unwrap_or_default());
    let of_system = rustls_native_certs::load_native_certs().certs;
    let of_system: String = of_system.iter().map(|certificate| pem(certificate.as_ref())).collect();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs_err::write(&path, text).map(|()| path).map_err(|error| error.to_string())
    };
    write("certificate.pem", &own)?;
    write("key.pem", &made.signing_key.serialize_pem())?;
    Ok(Trust {
        added: write("added.pem", &added)?,
        all: write("trusted.pem", &format!("{added}{of_system}"))?,
    })
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
