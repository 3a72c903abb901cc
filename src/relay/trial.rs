//! Whether a debug stack does what a session needs of it: each thing is done once, as a session does it.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use futures_util::{SinkExt, StreamExt};
use sst_wire::{MAX_MESSAGE, Registration};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::dial::{Connection, Connector, Unconnected};
use crate::{
    aws::{Aws, explain},
    debug_stack::{Answers, DebugStack},
    error::Error,
};

/// How long a message may be on its way.
const PATIENCE: Duration = Duration::from_secs(15);

/// More than API Gateway documents that one message may have, in bytes.
const TOO_MUCH: usize = 128 * 1024 + 1;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What it is that works, or does not.
    pub what: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Why it does not work.
    pub failure: Option<String>,
}

/// Tries everything, and leaves nothing behind. Without a connection nothing further is tried.
///
/// # Errors
/// Why `$connect` or `hello` is not answered, where the stack's mocks are to do so: there is another way.
pub async fn try_out(aws: &Aws, stack: &DebugStack) -> Result<Vec<Trial>, Error> {
    let mut trials = Vec::new();
    let began = Instant::now();
    let connected = Connector::new(aws.clone(), stack.endpoint.clone(), stack.answers);
    let connected = connected.connect_at_first().await;
    let what = match stack.answers {
        Answers::Mock => {
            "a connection by a signed handshake, whose `hello` is answered without a Lambda function"
        }
        Answers::Function | Answers::Bare => {
            "a connection by a signed handshake, whose `hello` is answered by a Lambda function"
        }
    };
    let (connection, failure) = match connected {
        Ok(connection) => (Some(connection), None),
        Err(Unconnected::Unanswered(error)) if stack.answers == Answers::Mock => return Err(error),
        Err(unconnected) => (None, Some(said(&unconnected.into()))),
    };
    trials.push(Trial { what, took: began.elapsed(), failure });
    let Some(mut connection) = connection else { return Ok(trials) };
    of("a ping is answered", ping(&mut connection), &mut trials).await;
    let small = across(aws, stack, &mut connection, "across".to_owned());
    of("a message is posted to the connection, and arrives", small, &mut trials).await;
    let large = across(aws, stack, &mut connection, "x".repeat(MAX_MESSAGE));
    of("so does the longest that is sent", large, &mut trials).await;
    let much =
        of("a longer one than AWS documents is refused", too_much(aws, stack, &connection), &mut trials);
    if much.await == Some(false)
        && let Some(trial) = trials.last_mut()
    {
        trial.what = "a longer one than AWS documents is taken as well";
    }
    of("a registration is written, read and removed", register(aws, stack), &mut trials).await;
    of("a payload is stored, read and removed", store(aws, stack), &mut trials).await;
    let gone = gone(aws, stack, connection);
    of("a connection that was closed is known to be gone", gone, &mut trials).await;
    Ok(trials)
}

async fn of<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, String>>,
    trials: &mut Vec<Trial>,
) -> Option<T> {
    let began = Instant::now();
    let result = work.await;
    let (result, failure) = match result {
        Ok(result) => (Some(result), None),
        Err(failure) => (None, Some(failure)),
    };
    trials.push(Trial { what, took: began.elapsed(), failure });
    result
}

fn said(error: &Error) -> String {
    let parts = [Some(error.message.as_str()), error.detail.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

async fn ping(connection: &mut Connection) -> Result<(), String> {
    connection.socket.send(Message::Ping("sst".into())).await.map_err(|error| error.to_string())?;
    until(connection, |message| matches!(message, Message::Pong(_))).await
}

/// Waits for a message.
async fn until(connection: &mut Connection, is_it: impl Fn(&Message) -> bool) -> Result<(), String> {
    let wait = async {
        while let Some(message) = connection.socket.next().await {
            if is_it(&message.map_err(|error| error.to_string())?) {
                return Ok(());
            }
        }
        Err("the connection was closed".to_owned())
    };
    let late = || Err(format!("nothing came within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| late())
}

async fn across(
    aws: &Aws,
    stack: &DebugStack,
    connection: &mut Connection,
    text: String,
) -> Result<(), String> {
    let post = aws.management(&stack.management).post_to_connection().connection_id(&connection.id);
    post.data(Blob::new(text.clone())).send().await.map_err(|error| explain(&error))?;
    until(connection, |message| matches!(message, Message::Text(came) if came.as_str() == text)).await
}

/// Whether what is too long is refused. `sst` sends nothing that long, so either is well.
async fn too_much(aws: &Aws, stack: &DebugStack, connection: &Connection) -> Result<bool, String> {
    let post = aws.management(&stack.management).post_to_connection().connection_id(&connection.id);
    match post.data(Blob::new("x".repeat(TOO_MUCH))).send().await {
        Ok(_) => Ok(false),
        Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 413) => {
            Ok(true)
        }
        Err(error) => Err(explain(&error)),
    }
}

async fn register(aws: &Aws, stack: &DebugStack) -> Result<(), String> {
    let (client, key) = (aws.dynamodb(), AttributeValue::S("sst/trial".to_owned()));
    let put = client.put_item().table_name(&stack.table).item(Registration::KEY, key.clone());
    put.send().await.map_err(|error| explain(&error))?;
    let get = client.get_item().table_name(&stack.table).key(Registration::KEY, key.clone());
    let found = get.consistent_read(true).send().await.map_err(|error| explain(&error));
    let delete = client.delete_item().table_name(&stack.table).key(Registration::KEY, key);
    let deleted = delete.send().await.map_err(|error| explain(&error));
    found?.item().map(drop).ok_or("it is not found")?;
    deleted.map(drop)
}

async fn store(aws: &Aws, stack: &DebugStack) -> Result<(), String> {
    let (client, key, text) = (aws.s3(), "payloads/sst-trial", "x".repeat(TOO_MUCH).into_bytes());
    let put = client.put_object().bucket(&stack.bucket).key(key).body(ByteStream::from(text.clone()));
    put.send().await.map_err(|error| explain(&error))?;
    let found = async {
        let object = client.get_object().bucket(&stack.bucket).key(key).send().await;
        let object = object.map_err(|error| explain(&error))?;
        let bytes = object.body.collect().await.map_err(|error| error.to_string())?.into_bytes();
        if bytes == text { Ok(()) } else { Err("it is another one".to_owned()) }
    };
    let found = found.await;
    let deleted = client.delete_object().bucket(&stack.bucket).key(key).send().await;
    found.and(deleted.map(drop).map_err(|error| explain(&error)))
}

/// What a stub goes by when it asks whether anybody is there.
async fn gone(aws: &Aws, stack: &DebugStack, mut connection: Connection) -> Result<(), String> {
    connection.socket.close(None).await.map_err(|error| error.to_string())?;
    while let Ok(Some(Ok(_))) = timeout(PATIENCE, connection.socket.next()).await {}
    let until = Instant::now() + PATIENCE;
    loop {
        let post = aws.management(&stack.management).post_to_connection().connection_id(&connection.id);
        match post.data(Blob::new("gone?")).send().await {
            Err(error) if error.as_service_error().is_some_and(|error| error.is_gone_exception()) => {
                return Ok(());
            }
            Err(error) => return Err(explain(&error)),
            Ok(_) if Instant::now() > until => return Err("messages to it are taken still".to_owned()),
            Ok(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
