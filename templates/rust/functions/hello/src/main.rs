use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

/// Answers `GET /hello/{name}`. Save a change, and the next request runs it.
async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let name = event.payload["pathParameters"]["name"].as_str().unwrap_or("world");
    Ok(json!({ "statusCode": 200, "body": format!("Hello, {name}!\n") }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
