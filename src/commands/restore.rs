//! `sst restore`: functions that are stubs still get their own code back. What `sst start --restore-on-exit` says of it is here as well.

use std::collections::BTreeSet;

use super::{
    claims::Others,
    own_code::{Copy, EVERYTHING},
};
use crate::{
    app::{self, Stub},
    cli,
    error::{Error, Kind, Result},
    process::Spawner,
    settings,
    ui::Ui,
};

/// `sst restore`.
///
/// # Errors
/// [`Kind::Synthesis`], [`Kind::Deployment`]; [`Kind::Cloud`] when it cannot be seen what is deployed; [`Kind::Usage`] when it is not
/// confirmed.
pub(super) async fn run(
    arguments: &cli::Restore,
    settings: &settings::App,
    spawner: &Spawner,
    ui: &Ui,
) -> Result<()> {
    let copy = Copy::find("sst restore", settings, spawner, ui).await?;
    let app = copy.synthesize(&[EVERYTHING.to_owned()]).await?;
    let stage = &app.stage;
    let stubs = app::stubs(&app.aws, &app.assembly).await.map_err(unknown)?;
    if stubs.is_empty() {
        ui.info(format!("No function of stage {stage} is a stub: there is nothing to do"));
        return Ok(());
    }
    if !arguments.yes {
        Others::find(&app.locks, &app.aws, &app.debug_stack()).await.confirm(ui).await?;
    }
    ui.info(beginning(stage, &stubs));
    app.deploy(selectors(&stubs), arguments.deployment.rolls_back(), arguments.yes).await?;
    ui.info(end(stage, &stubs));
    Ok(())
}

/// Why nothing is restored when it cannot be seen what is deployed.
pub(super) fn unknown(reason: String) -> Error {
    Error::new(Kind::Cloud, "which functions are stubs is not known, so nothing was deployed")
        .detail(reason)
        .hint("`sst deploy` gives all functions their own code without looking")
}

/// What stays to be done when functions are left stubs.
pub(super) fn later(stage: &str) -> String {
    format!(
        "The functions of stage {stage} are stubs still: `sst restore --stage {stage}` gives them their own code"
    )
}

/// By which the CDK CLI selects the stacks with these stubs.
pub(super) fn selectors(stubs: &[Stub]) -> Vec<String> {
    let all: BTreeSet<&String> = stubs.iter().map(|stub| &stub.selector).collect();
    all.into_iter().cloned().collect()
}

/// What is about to be done. Whoever has changed the app since it was deployed has to know that the changes come along.
pub(super) fn beginning(stage: &str, stubs: &[Stub]) -> String {
    let stacks: BTreeSet<&str> = stubs.iter().map(|stub| stub.stack.as_str()).collect();
    let stacks = stacks.into_iter().collect::<Vec<_>>().join(", ");
    let are = if stubs.len() == 1 { "1 function" } else { &format!("{} functions", stubs.len()) };
    let verb = if stubs.len() == 1 { "is a stub" } else { "are stubs" };
    format!(
        "Of stage {stage}, {are} {verb}. Deploying {stacks} as on this disk, with changes that were not deployed yet if there are any"
    )
}

/// What has been done.
pub(super) fn end(stage: &str, stubs: &[Stub]) -> String {
    let restored = stubs.iter().filter(|stub| stub.id.is_some()).count();
    let gone = match stubs.len() - restored {
        0 => String::new(),
        1 => "; 1 that the app does not have any more is gone".to_owned(),
        gone => format!("; {gone} that the app does not have any more are gone"),
    };
    let have = if restored == 1 { "1 function has its" } else { &format!("{restored} functions have their") };
    format!("Of stage {stage}, {have} own code again{gone}. The debug stack stays for the next `sst start`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(stack: &str, id: Option<&str>) -> Stub {
        Stub { id: id.map(Into::into), stack: format!("dev-{stack}"), selector: stack.to_owned() }
    }

    #[test]
    fn stacks_are_named_once_and_functions_counted() {
        let stubs = [stub("b", Some("b/One")), stub("a", Some("a/Two")), stub("b", None)];
        assert_eq!(selectors(&stubs), ["a", "b"]);
        let said = beginning("dev", &stubs);
        assert!(
            said.starts_with("Of stage dev, 3 functions are stubs. Deploying dev-a, dev-b as on this disk"),
            "{said}"
        );
        let said = end("dev", &stubs);
        assert!(
            said.contains(
                "2 functions have their own code again; 1 that the app does not have any more is gone."
            ),
            "{said}"
        );
        assert!(
            beginning("dev", &stubs[..1])
                .starts_with("Of stage dev, 1 function is a stub. Deploying dev-b as")
        );
        assert!(end("dev", &stubs[..1]).starts_with("Of stage dev, 1 function has its own code again. "));
    }
}
