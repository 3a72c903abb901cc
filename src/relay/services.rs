//! The clients of the services that the relay uses. They are replaced by fresh ones when the connections that they keep may be dead,
//! with which whatever is under way begins again.

use std::{sync::Arc, time::Duration};

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use sst_wire::jitter;
use tokio::{sync::watch, time::Instant};

use crate::{
    aws::{Aws, explain},
    debug_stack::DebugStack,
};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The clients of one time.
#[derive(Debug)]
pub(super) struct Clients {
    pub management: aws_sdk_apigatewaymanagement::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub s3: aws_sdk_s3::Client,
}

/// Why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// The status of the answer; none when there was none, or none that counts.
    pub status: Option<u16>,
    /// How long the service asks to be left alone.
    retry_after: Option<Duration>,
    /// A fragment for people.
    pub text: String,
}

/// The clients of now.
#[derive(Debug)]
pub(super) struct Services {
    aws: Aws,
    stack: DebugStack,
    current: watch::Sender<Arc<Clients>>,
}

impl Services {
    pub(super) fn new(aws: &Aws, stack: &DebugStack) -> Self {
        // What is tried again, and for how long, is decided here: the SDK would wait for connections that may be dead.
        let aws = aws.without_retries();
        let current = watch::Sender::new(Arc::new(clients(&aws, stack)));
        Self { aws, stack: stack.clone(), current }
    }

    /// How this program reaches AWS.
    pub(super) fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The debug stack.
    pub(super) fn stack(&self) -> &DebugStack {
        &self.stack
    }

    /// Has everything go over new connections.
    pub(super) fn renew(&self) {
        self.current.send_replace(Arc::new(clients(&self.aws.fresh(), &self.stack)));
    }

    /// Makes a request, and makes it again when the clients have been replaced meanwhile. So it has to be one that may be made twice.
    ///
    /// # Errors
    /// As it fails.
    pub(super) async fn once<T, E, F>(&self, request: impl Fn(Arc<Clients>) -> F) -> Result<T, SdkError<E>>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let mut current = self.current.subscribe();
        loop {
            let clients = current.borrow_and_update().clone();
            let result = tokio::select! {
                result = request(clients.clone()) => result,
                Ok(()) = current.changed() => continue,
            };
            if let Err(
                SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_),
            ) = result
            {
                // What was wrong may be the connection, and the next request would be given it again.
                self.current.send_if_modified(|present| {
                    let stale = Arc::ptr_eq(present, &clients);
                    if stale {
                        *present = Arc::new(self::clients(&self.aws.fresh(), &self.stack));
                    }
                    stale
                });
            }
            return result;
        }
    }

    /// Makes a request until it succeeds, until `until`, or until it fails in a way that another attempt would not change.
    ///
    /// # Errors
    /// As it failed the last time.
    pub(super) async fn persist<T, E, F>(
        &self,
        until: Instant,
        request: impl Fn(Arc<Clients>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut current = self.current.subscribe();
        let mut pauses = pauses(LONGEST_PAUSE);
        loop {
            let failure = match self.once(&request).await {
                Ok(value) => return Ok(value),
                Err(error) => Failure::of(&error),
            };
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            // All who were refused at the same time would come again at the same time, and be refused again. Whoever has waited for long is as
            // quick to come again as one that is new, or it would never get its turn.
            let pause = failure.retry_after.map_or(pause, |asked| asked + jitter(asked));
            if !failure.may_pass() || Instant::now() + pause >= until {
                return Err(failure);
            }
            tracing::debug!(failure.text, "again");
            current.mark_unchanged();
            // With new connections it is worth another attempt at once, unless the service wants to be left alone.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = current.changed(), if failure.status.is_none() => {}
            }
        }
    }
}

impl Failure {
    pub(super) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let response = error.raw_response();
        let retry_after = response.and_then(|response| response.headers().get("retry-after"));
        let seconds = retry_after.and_then(|text| text.trim().parse().ok());
        let throttled =
            error.code().is_some_and(|code| code.contains("Throttl") || code.contains("Exceeded"));
        // There will be others.
        let expired = error.code().is_some_and(|code| code.starts_with("ExpiredToken"));
        let status = response.map(|response| response.status().as_u16()).filter(|_| !expired);
        Self {
            status: if throttled { Some(429) } else { status },
            retry_after: seconds.map(|seconds: u64| Duration::from_secs(seconds.max(1))),
            text: explain(error),
        }
    }

    /// Whether another attempt may succeed. Without an answer the network may be at fault. Permissions spread, and credentials are
    /// renewed.
    fn may_pass(&self) -> bool {
        matches!(self.status, None | Some(403 | 429 | 500..))
    }
}

/// The pauses between attempts, without end: from 200 ms on, with jitter.
pub(super) fn pauses(longest: Duration) -> impl Iterator<Item = Duration> + Send {
    use backon::BackoffBuilder;
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

fn clients(aws: &Aws, stack: &DebugStack) -> Clients {
    Clients { management: aws.management(&stack.management), dynamodb: aws.dynamodb(), s3: aws.s3() }
}
