//! How this program reaches AWS: region, credentials, endpoints, and trusted certificates, for the SDK and for WebSockets.

/// Everything that a client of AWS needs here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Configuration for the SDK's clients, with credentials, region, endpoint, and HTTP client set.
    pub sdk: aws_config::SdkConfig,
    /// The region.
    pub region: String,
    /// The account number, from `sts:GetCallerIdentity`.
    pub account: String,
    /// The caller's ARN.
    pub caller_arn: String,
    /// TLS settings for WebSocket connections: the system's roots and `AWS_CA_BUNDLE`.
    pub tls: std::sync::Arc<rustls::ClientConfig>,
    /// The endpoint of a local cloud (or of any other that was asked for), e.g. `http://127.0.0.1:4566`; none on AWS.
    pub endpoint: Option<String>,
}
