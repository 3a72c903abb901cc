use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let name = event.payload["pathParameters"]["name"].as_str().unwrap_or("nobody");
    let word = std::env::var("GREETING")?;
    let text = format!("{word}, {name}, from Rust");
    println!("{text}");
    Ok(json!({ "statusCode": 200, "body": text }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
