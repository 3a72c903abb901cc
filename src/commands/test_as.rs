//! `sst test --as FUNCTION`: what makes the tests run as that function, i.e. its variables and its role's credentials.

use std::collections::BTreeMap;

use crate::{
    aws::{Aws, explain},
    cloud,
    error::{Error, Kind, Result},
    ids::FunctionId,
    local::{self, Answer},
    project::{
        StateDir,
        manifest::{FunctionSpec, Manifest, ORIGINAL_PREFIX},
    },
    settings,
    worker::environment::Surroundings,
};

use super::{
    invoke::refused,
    session::{self, RunningSession},
};

/// Variables of the developer's own that would win over a role's credentials.
pub(super) const OTHER_IDENTITIES: [&str; 5] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// The environment of a function: from the running `sst start` if there is one, else as it is deployed, with its role assumed.
///
/// # Errors
/// [`Kind::Usage`] for a function that there is not, and when the role cannot be had; [`Kind::Cloud`].
pub(super) async fn environment(name: &str, target: &settings::App) -> Result<BTreeMap<String, String>> {
    let state_dir = target.project.state_dir()?;
    let manifest = manifest(&state_dir)?;
    let known = manifest.functions.iter().map(|function| (&function.id, function));
    let spec = FunctionId::named(name, known).map_err(|message| Error::new(Kind::Usage, message))?.clone();
    let running = session::running(&state_dir).ok();
    let running = running.filter(|running| target.stage.as_ref().is_none_or(|stage| *stage == running.stage));
    let strip = match running.as_ref().is_some_and(|running| running.endpoint.is_some()) {
        true => cloud::SERVER_VARIABLES,
        false => &[],
    };
    let received = match running {
        Some(running) => ask(&running, &spec).await?,
        None => assume(target, &spec).await?,
    };
    let surroundings = Surroundings::from_process(strip, Some(ORIGINAL_PREFIX));
    let mut variables = surroundings.of_function(&spec, &received);
    variables.insert("IS_LOCAL".to_owned(), "true".to_owned());
    Ok(variables)
}

/// The functions of the app, as the last `sst start` found them.
fn manifest(state_dir: &StateDir) -> Result<Manifest> {
    let text = state_dir.read("functions.json")?;
    text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
        Error::new(Kind::Usage, "the functions of the app are not known yet")
            .hint("run `sst start` once; it finds them")
    })
}

async fn ask(running: &RunningSession, spec: &FunctionSpec) -> Result<BTreeMap<String, String>> {
    let answer = running.client().environment(spec.id.as_str()).await;
    match answer {
        Ok(Answer::Environment { variables }) => Ok(variables),
        Ok(Answer::Refused { message, hint }) => Err(refused(message, hint)),
        Ok(Answer::Returned { .. } | Answer::Failed { .. }) => {
            Err(Error::new(Kind::Other, "`sst start` is of another version").hint("start it again"))
        }
        Err(error) => Err(Error::new(Kind::Other, "`sst start` did not answer")
            .detail(error)
            .hint("look at its terminal, or start it again")),
    }
}

/// Without a stub that hands over its credentials, the role has to be assumed, which few roles of functions allow a person.
async fn assume(target: &settings::App, spec: &FunctionSpec) -> Result<BTreeMap<String, String>> {
    let aws = Aws::connect(target.aws()).await?;
    let (mut variables, role) =
        local::configuration(&aws, spec).await.map_err(|reason| Error::new(Kind::Cloud, reason))?;
    let assumed = aws.sts().assume_role().role_arn(&role).role_session_name("sst-test").send().await;
    let assumed = assumed.map_err(|error| {
        Error::new(Kind::Usage, format!("the role `{role}` of `{}` cannot be assumed", spec.id))
            .detail(explain(&error))
            .hint("have `sst start` running: its stubs have the credentials; or let the trust policy of the role name you")
    })?;
    if let Some(credentials) = assumed.credentials() {
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id()),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key()),
            ("AWS_SESSION_TOKEN", credentials.session_token()),
            ("AWS_REGION", aws.region.as_str()),
            ("AWS_DEFAULT_REGION", aws.region.as_str()),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    if let Some(endpoint) = &aws.endpoint {
        variables.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
    }
    Ok(variables)
}
