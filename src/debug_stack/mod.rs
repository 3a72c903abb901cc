//! The debug stack: deploying it, and finding out where it is.

/// What the debug stack consists of, as the relay and the stubs need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugStack {
    /// The WebSocket endpoint with its stage: `wss://<api>.execute-api.<region>.amazonaws.com/<stage>`, in a local cloud
    /// `ws://127.0.0.1:<port>/_aws/execute-api/<api>/<stage>`.
    pub endpoint: String,
    /// The `@connections` endpoint with its stage, `https://…` or `http://…`.
    pub management: String,
    /// The API's id.
    pub api_id: String,
    /// The API's stage.
    pub api_stage: String,
    /// The DynamoDB table.
    pub table: String,
    /// The ARN of the table.
    pub table_arn: String,
    /// The S3 bucket.
    pub bucket: String,
}
