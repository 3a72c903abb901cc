//! One invocation: carried to a client, and its outcome carried back.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    ahead::reach,
    cloud::{Cloud, Registered},
    conversation::Conversation,
    failed::Failed,
    problem::Problem,
    response::Response,
    runtime_api::{Call, Ending, RuntimeApi},
    socket::Socket,
};

/// How long before Lambda's deadline the stub reports the timeout itself, while it still can.
const BEFORE_DEADLINE: Duration = Duration::from_millis(300);

/// How long finding out why something was denied may take.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(2);

/// What is kept between invocations.
pub(crate) struct Stub {
    cloud: Cloud,
    runtime_api: RuntimeApi,
    registered: Option<Registered>,
    socket: Option<Socket>,
    failed: Failed,
}

impl Stub {
    /// A stub that has not connected yet.
    pub(crate) fn new(cloud: Cloud, runtime_api: RuntimeApi) -> Self {
        Self { cloud, runtime_api, registered: None, socket: None, failed: Failed::default() }
    }

    /// What can be done before there is an invocation. What fails here is tried again when there is one, and is told of then.
    pub(crate) async fn initialise(&mut self) {
        if self.cloud.settings.soon_called()
            && let Some((registered, socket)) = reach(&self.cloud).await
        {
            (self.registered, self.socket) = (Some(registered), Some(socket));
        }
    }

    /// Waits for an invocation, runs it, and hands its outcome over.
    pub(crate) async fn turn(&mut self) -> Result<(), crate::http::HttpError> {
        let call = self.runtime_api.next(&self.cloud.http).await?;
        let ending = match self.failed.get(&call.request_id) {
            Some(ending) => {
                crate::log(&format!(
                    "{}: sent again by Lambda after it had failed; not run again",
                    call.request_id
                ));
                ending
            }
            None => {
                let ending = self.run(&call).await;
                self.failed.note(&call.request_id, &ending);
                ending
            }
        };
        self.runtime_api.finish(&self.cloud.http, &call.request_id, ending).await
    }

    async fn run(&mut self, call: &Call) -> Ending {
        let Self { cloud, runtime_api, registered, socket, .. } = self;
        let deadline = Instant::now() + call.remaining().saturating_sub(BEFORE_DEADLINE);
        let mut response = Response::new(cloud, runtime_api, call);
        let mut conversation = Conversation::new(cloud, call, socket, registered, deadline);
        let carried = timeout_at(deadline, carry(&mut conversation, &mut response)).await;
        let problem = match carried {
            Ok(Ok(ending)) => return ending,
            Ok(Err(problem)) => problem,
            Err(_) => conversation.out_of_time(),
        };
        drop(conversation);
        let problem = explained(cloud, call, problem).await;
        // What is wrong may be what is remembered, so the next invocation starts afresh.
        *registered = None;
        crate::log(&format!("{}: {problem}", call.request_id));
        response.fail(&problem).await
    }
}

/// API Gateway denies as well what is asked of an API that there is not. The table tells whether that is why.
async fn explained(cloud: &Cloud, call: &Call, problem: Problem) -> Problem {
    if !matches!(problem, Problem::Denied { .. }) {
        return problem;
    }
    match cloud.registration(Instant::now() + LOOKED_UP_WITHIN.min(call.remaining())).await {
        Err(removed @ Problem::Removed { .. }) => removed,
        _ => problem,
    }
}

async fn carry(conversation: &mut Conversation<'_>, response: &mut Response<'_>) -> Result<Ending, Problem> {
    conversation.prepare().await?;
    loop {
        let frame = conversation.next().await?;
        if let Some(ending) = response.receive(frame).await? {
            return Ok(ending);
        }
        conversation.awaits(response.next(), response.has_others());
    }
}
