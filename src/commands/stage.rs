//! Questions that several commands ask: which stage, and whether the account may be prepared for the CDK.

use crate::{
    app::Lacking,
    aws::Aws,
    error::{Error, Kind, Result},
    project::{Project, StageRequest, resolve_stage},
    ui::{Ui, prompt},
};

/// What is said before the question for the stage.
const INTRODUCTION: &str =
    "This project has no stage yet: a copy of the app that is yours alone. Its name is kept in `.sst/stage`.";

/// The stage. A question for it waits on a thread of its own, so that Ctrl-C is heard, and suggests the name of the `caller`, if the ARN
/// has one. `fallback` is taken without asking.
pub(super) async fn stage(
    project: &Project,
    flag: Option<&str>,
    fallback: Option<&'static str>,
    caller: Option<&str>,
    ui: &Ui,
) -> Result<String> {
    let project = project.clone();
    let flag = flag.map(str::to_owned);
    let suggestion = caller.and_then(name_of).map(str::to_owned).or_else(|| std::env::var("USER").ok());
    let ui = ui.clone();
    let resolved = tokio::task::spawn_blocking(move || {
        let request = StageRequest {
            flag: flag.as_deref(),
            interactive: prompt::is_interactive(),
            fallback,
            suggestion: suggestion.as_deref(),
        };
        resolve_stage(&project, request, &ui, |suggestion, wrong| {
            // Said here rather than by the other thread, which might come after the question.
            prompt::say(wrong.as_deref().unwrap_or(INTRODUCTION));
            let suggestion = suggestion.map(|name| format!(", or ENTER for `{name}`")).unwrap_or_default();
            prompt::ask(&format!("Name of your stage{suggestion}:"))
                .map_err(|error| Error::new(Kind::Usage, "no stage was given").detail(error))
        })
    });
    resolved.await.map_err(|error| Error::new(Kind::Other, "the question failed").detail(error))?
}

/// The name of the person behind an ARN, as far as it has one: root has none, and the sessions of programs are called after these.
fn name_of(caller: &str) -> Option<&str> {
    let resource = caller.splitn(6, ':').nth(5)?;
    let (kind, path) = resource.split_once('/')?;
    let last = path.rsplit('/').next().unwrap_or(path);
    // Single sign-on names sessions by addresses.
    let name = last.split('@').next().unwrap_or(last);
    let person = match kind {
        "user" | "federated-user" => true,
        _ => {
            let of_a_program =
                ["botocore-session-", "aws-sdk-", "aws-go-sdk-", "i-", "GitHubActions", "session-"];
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && !of_a_program.iter().any(|beginning| name.starts_with(beginning))
        }
    };
    (person && !name.is_empty()).then_some(name)
}

/// On AWS the CDK's own stack is not made without a yes: it stays, and may cost something.
pub(super) async fn confirm_bootstrap(yes: bool, aws: &Aws, lacking: &[Lacking]) -> Result<()> {
    if aws.endpoint.is_some() || yes || lacking.is_empty() {
        return Ok(());
    }
    let what = lacking.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let question = format!("{what}. Bootstrap it now (bucket, roles)? [y/N]");
    if prompt::is_interactive() && confirmed(question).await {
        return Ok(());
    }
    let commands = lacking.iter().map(|one| format!("`{}`", one.command())).collect::<Vec<_>>().join(", ");
    Err(Error::new(Kind::Deployment, what).hint(format!("run {commands}, or this command with `--yes`")))
}

/// Whether the answer is a yes.
pub(super) async fn confirmed(question: String) -> bool {
    let answer = answer_to(question).await;
    answer.is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// What the user says; none when the terminal is gone. Waits on a thread of its own.
pub(super) async fn answer_to(question: String) -> Option<String> {
    tokio::task::spawn_blocking(move || prompt::ask(&question)).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn the_suggestion_is_a_persons_name() {
        for (arn, name) in [
            ("arn:aws:iam::111122223333:user/path/alice", Some("alice")),
            ("arn:aws:iam::111122223333:root", None),
            ("arn:aws:sts::111122223333:assumed-role/Developer/bob", Some("bob")),
            ("arn:aws:sts::111122223333:assumed-role/Developer/botocore-session-1700000000", None),
            ("arn:aws:sts::111122223333:assumed-role/Developer/1700000000", None),
            ("arn:aws:sts::111122223333:assumed-role/Build/i-0123456789abcdef0", None),
            ("arn:aws:sts::111122223333:assumed-role/Build/GitHubActions", None),
            (
                "arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_Dev_01/jane.doe@corp.com",
                Some("jane.doe"),
            ),
            ("arn:aws:sts::111122223333:federated-user/carol", Some("carol")),
            ("nonsense", None),
        ] {
            assert_eq!(name_of(arn), name, "{arn}");
        }
    }
}
