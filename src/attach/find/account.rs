//! What is deployed of what is declared, or chosen on the command line.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::error::ProvideErrorMetadata;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Candidate, Chosen, Code, Declaration, Declared, Found, Known, Unsourced, Which,
    bare::{self, not_among},
    names,
    stack::{self, Hints, StackFunction},
};
use crate::{
    attach::Deployed,
    aws::{Aws, explain},
    error::{Error, Kind, Result},
};

/// How many functions are asked for at a time: Lambda takes 100 such requests a second, of everybody in an account.
const AT_ONCE: usize = 8;

/// A function that is to be asked for.
#[derive(Debug, Clone)]
struct Target {
    label: String,
    name: String,
    stack: Option<String>,
    logical_id: Option<String>,
    code: Code,
    hints: Hints,
}

/// Finds them. Their code is not sought yet.
///
/// # Errors
/// As [`super::look_up`].
pub(super) async fn look_up(
    aws: &Aws,
    declaration: Option<&Declaration>,
    chosen: &Chosen<'_>,
) -> Result<Found> {
    let mut notices = declaration.map(|declaration| declaration.notices.clone()).unwrap_or_default();
    let (shown, targets) = match declaration {
        _ if !chosen.stacks.is_empty() => of_stacks(aws, declaration, chosen.stacks).await?,
        Some(declaration) => {
            (declaration.shown.clone(), declared(aws, declaration, chosen, &mut notices).await?)
        }
        None => {
            let names = bare::names(aws, chosen.functions).await?;
            (format!("Lambda ({})", aws.region), names.into_iter().map(Target::named).collect())
        }
    };
    let is_bare = declaration.is_none() && chosen.stacks.is_empty();
    let targets = if is_bare { targets } else { choose(aws, targets, chosen.functions)? };
    let mut candidates = Vec::new();
    let mut answers = stream::iter(&targets).map(|target| get(aws, target)).buffered(AT_ONCE);
    while let Some(candidate) = answers.try_next().await? {
        candidates.push(candidate);
    }
    let missing = targets.iter().zip(&candidates).filter(|(_, found)| found.is_none());
    for (target, _) in missing {
        if is_bare {
            return Err(bare::unknown(aws, &target.name).await);
        }
        notices.push(format!("`{}` (`{}`) is not deployed in {}", target.label, target.name, aws.region));
    }
    let candidates: Vec<_> = candidates.into_iter().flatten().collect();
    if candidates.is_empty() {
        let error = Error::new(
            Kind::Usage,
            format!("none of the functions of {shown} is deployed in aws://{}/{}", aws.account, aws.region),
        );
        return Err(error
            .detail(notices.join("\n"))
            .hint("deploy them first, or name what is meant: `--stack NAME`, `--function NAME`"));
    }
    Ok(Found { shown, candidates, notices })
}

impl Target {
    fn named(name: String) -> Self {
        Self {
            label: name.clone(),
            name,
            stack: None,
            logical_id: None,
            code: Code::default(),
            hints: Hints::default(),
        }
    }

    fn in_stack(function: StackFunction, declared: Option<&Declared>) -> Self {
        let label = declared.map(|declared| declared.label.clone()).or_else(|| function.hints.label.clone());
        Self {
            label: label.unwrap_or(function.path),
            name: function.name,
            stack: Some(function.stack),
            logical_id: Some(function.logical_id),
            code: declared.map(|declared| declared.code.clone()).unwrap_or_default(),
            hints: function.hints,
        }
    }
}

/// The functions of stacks, with what is declared of them, under whatever name it has deployed them.
async fn of_stacks(
    aws: &Aws,
    declaration: Option<&Declaration>,
    stacks: &[String],
) -> Result<(String, Vec<Target>)> {
    let mut targets = Vec::new();
    for stack in stacks {
        for function in stack::functions(aws, stack, true).await? {
            let declared = declaration.and_then(|declaration| of_function(declaration, &function));
            targets.push(Target::in_stack(function, declared));
        }
    }
    let shown = match stacks {
        [one] => format!("the stack {one}"),
        several => format!("the stacks {}", several.join(", ")),
    };
    Ok((shown, targets))
}

/// What is declared of a function in a stack. The same template may be deployed under several names.
fn of_function<'a>(declaration: &'a Declaration, function: &StackFunction) -> Option<&'a Declared> {
    let by_name = |one: &&Declared| one.which == Which::Name(function.name.clone());
    let by_path = |one: &&Declared| matches!(&one.which, Which::Resource { logical_id, .. } if is_at(function, logical_id));
    declaration.functions.iter().find(by_name).or_else(|| {
        let all = || declaration.functions.iter().filter(by_path);
        let of_stack =
            |one: &&Declared| matches!(&one.which, Which::Resource { stack, .. } if *stack == function.stack);
        all().find(of_stack).or_else(|| all().next().filter(|_| all().count() == 1))
    })
}

/// Whether a function of a stack is the one with a logical id, which may name the stacks on the way to it.
fn is_at(function: &StackFunction, logical_id: &str) -> bool {
    function.path == logical_id || function.logical_id == logical_id
}

/// The functions that are declared. Those that are not deployed are told of.
async fn declared(
    aws: &Aws,
    declaration: &Declaration,
    chosen: &Chosen<'_>,
    notices: &mut Vec<String>,
) -> Result<Vec<Target>> {
    let stacks: BTreeSet<&str> =
        declaration.functions.iter().filter_map(|declared| declared.which.stack()).collect();
    if stacks.contains("") {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "{} does not say in which stack the functions of {} are",
                declaration.shown, declaration.tool
            ),
        )
        .hint("name it: `--stack NAME`"));
    }
    let mut deployed = BTreeMap::new();
    for stack in stacks {
        deployed.insert(stack, stack::functions(aws, stack, false).await?);
    }
    let mut targets = Vec::new();
    for one in &declaration.functions {
        let (stack, logical_id) = match &one.which {
            Which::Name(name) => {
                targets.push(Target {
                    label: one.label.clone(),
                    code: one.code.clone(),
                    ..Target::named(name.clone())
                });
                continue;
            }
            Which::Resource { stack, logical_id } => (stack, logical_id),
        };
        let functions = &deployed[stack.as_str()];
        let exact = functions.iter().find(|function| function.path == *logical_id);
        match exact.or_else(|| functions.iter().find(|function| is_at(function, logical_id))) {
            Some(function) => targets.push(Target::in_stack(function.clone(), Some(one))),
            // Who has chosen some others does not ask for it.
            None if !chosen.functions.is_empty() => {}
            None => notices
                .push(format!("`{}` is not deployed: the stack `{stack}` has no `{logical_id}`", one.label)),
        }
    }
    Ok(targets)
}

impl Candidate {
    /// A function of which Lambda does not tell us.
    fn denied(target: &Target, reason: &str) -> Self {
        let Target { label, name, stack, logical_id, code, hints } = target.clone();
        let unable = format!("Lambda does not tell of it ({reason})");
        Self {
            label,
            deployed: Deployed { name, ..Deployed::default() },
            stack,
            logical_id,
            source: Err(Unsourced::Unable(unable.clone())),
            known: Known { code: Code { unable: Some(unable), ..code }, hints },
        }
    }
}

impl Which {
    /// The stack, where it is in one.
    fn stack(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Resource { stack, .. } => Some(stack),
        }
    }
}

/// Those that are chosen by label, by the end of it, by logical id, name, ARN, or pattern; all if nothing is chosen.
fn choose(aws: &Aws, targets: Vec<Target>, chosen: &[String]) -> Result<Vec<Target>> {
    if chosen.is_empty() {
        return Ok(targets);
    }
    let mut wanted = BTreeSet::new();
    for text in chosen {
        let name = bare::name(aws, text)?;
        let matches: Box<dyn Fn(&str) -> bool> = match names::is_pattern(&name) {
            true => Box::new(names::matcher(&name)?),
            false => {
                let name = name.clone();
                Box::new(move |one| one == name)
            }
        };
        let is_meant = |target: &Target| called(target).any(&matches);
        let meant: Vec<_> = (0..targets.len()).filter(|index| is_meant(&targets[*index])).collect();
        if meant.is_empty() {
            let all: Vec<&str> = targets.iter().map(|target| target.label.as_str()).collect();
            let names: Vec<&str> = targets.iter().flat_map(called).collect();
            return Err(not_among(text, &names, &all));
        }
        wanted.extend(meant);
    }
    let kept = targets.into_iter().enumerate().filter(|(index, _)| wanted.contains(index));
    Ok(kept.map(|(_, target)| target).collect())
}

fn called(target: &Target) -> impl Iterator<Item = &str> {
    let end = target.label.rsplit('/').next().unwrap_or(&target.label);
    [Some(target.label.as_str()), Some(end), target.logical_id.as_deref(), Some(&target.name)]
        .into_iter()
        .flatten()
}

/// Asks Lambda for a function. None when there is no such.
async fn get(aws: &Aws, target: &Target) -> Result<Option<Candidate>> {
    let answer = aws.lambda().get_function().function_name(&target.name).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
        // That one may not be asked for says nothing of the others.
        Err(error) if error.code() == Some("AccessDeniedException") => {
            return Ok(Some(Candidate::denied(target, &explain(&error))));
        }
        Err(error) => {
            return Err(Error::new(
                Kind::Cloud,
                format!("Lambda does not tell of the function `{}`", target.name),
            )
            .detail(explain(&error)));
        }
    };
    let Target { label, stack, logical_id, code, hints, .. } = target.clone();
    Ok(Deployed::read(&answer).map(|deployed| Candidate {
        label,
        deployed,
        stack,
        logical_id,
        source: Err(Unsourced::NotFound("nobody has looked yet".to_owned())),
        known: Known { code, hints },
    }))
}
