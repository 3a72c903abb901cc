//! Functions by their names, whatever has deployed them: `--function NAME`, an ARN, or a pattern.

use crate::{
    aws::{Aws, explain},
    error::{Error, Kind, Result},
};

use super::names::{is_pattern, matcher, nearest};

/// How many names an error lists.
const MOST_LISTED: usize = 20;

/// The names of the functions that are chosen, without one of them twice.
///
/// # Errors
/// [`Kind::Usage`] when none is chosen, for what is no name here, and for a pattern that matches none; [`Kind::Cloud`] when Lambda does not
/// tell.
pub(super) async fn names(aws: &Aws, chosen: &[String]) -> Result<Vec<String>> {
    if chosen.is_empty() {
        return Err(Error::new(Kind::Usage, "nothing here says which functions are deployed").hint(
            "run it in a project of SAM, the Serverless Framework, Terraform or the CDK, or name a stack (`--stack NAME`) or \
             functions (`--function NAME`)",
        ));
    }
    let chosen = chosen.iter().map(|text| name(aws, text)).collect::<Result<Vec<_>>>()?;
    let all = match chosen.iter().any(|text| is_pattern(text)) {
        true => all(aws).await?,
        false => Vec::new(),
    };
    let mut found: Vec<String> = Vec::new();
    for text in chosen {
        let names = match is_pattern(&text) {
            true => {
                let matches = matcher(&text)?;
                let names: Vec<_> = all.iter().filter(|name| matches(name)).cloned().collect();
                if names.is_empty() {
                    let all: Vec<&str> = all.iter().map(String::as_str).collect();
                    return Err(not_among(&text, &all, &all));
                }
                names
            }
            false => vec![text],
        };
        for name in names {
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    Ok(found)
}

/// The name that is meant by what is given: the name itself, or an ARN of this account and region, whole or in part
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html>).
///
/// # Errors
/// [`Kind::Usage`] for an ARN of another kind, account, or region, and for one version or alias of a function.
pub(super) fn name(aws: &Aws, given: &str) -> Result<String> {
    let wrong = |message: String| Error::new(Kind::Usage, message);
    let parts: Vec<&str> = given.split(':').collect();
    let (place, name, qualifier) = match parts.as_slice() {
        [name] => (None, *name, None),
        ["arn", _, "lambda", region, account, "function", name, rest @ ..] => {
            (Some((Some(*region), *account)), *name, rest.first())
        }
        [account, "function", name, rest @ ..] if account.parse::<u64>().is_ok() => {
            (Some((None, *account)), *name, rest.first())
        }
        ["arn", ..] => return Err(wrong(format!("`{given}` is not the ARN of a function"))),
        [name, qualifier] => (None, *name, Some(qualifier)),
        _ => return Err(wrong(format!("`{given}` is not the name of a function, nor its ARN"))),
    };
    if let Some((region, account)) = place {
        let is_here = account == aws.account && region.is_none_or(|region| region == aws.region);
        if !is_here {
            let there = region.map_or(account.to_owned(), |region| format!("{account}/{region}"));
            return Err(wrong(format!(
                "`{given}` is in aws://{there}, but this is aws://{}/{}",
                aws.account, aws.region
            ))
            .hint("give its `--region`, or the `--profile` of its account"));
        }
    }
    if let Some(qualifier) = qualifier.filter(|qualifier| **qualifier != "$LATEST") {
        return Err(wrong(format!(
            "`{given}` is one version of the function `{name}`, which nobody can change"
        ))
        .detail(format!("what runs here stands in the place of `$LATEST`, not of `{qualifier}`"))
        .hint(format!("give the function itself: `{name}`")));
    }
    Ok(name.to_owned())
}

/// Says that there is no function of a name, with one that may have been meant.
pub(super) async fn unknown(aws: &Aws, name: &str) -> Error {
    // Whoever may not list functions hears less.
    let all = all(aws).await.unwrap_or_default();
    let error = Error::new(
        Kind::Usage,
        format!("there is no function `{name}` in aws://{}/{}", aws.account, aws.region),
    );
    match nearest(name, all.iter().map(String::as_str)) {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None => error.hint("give its `--region`, or the `--profile` of its account"),
    }
}

/// Says that none of some functions is meant. `names` are all that they go by, `listed` those by which they are told.
pub(super) fn not_among(wanted: &str, names: &[&str], listed: &[&str]) -> Error {
    let error = Error::new(Kind::Usage, format!("no function matches `{wanted}`"));
    let quoted: Vec<_> = listed.iter().take(MOST_LISTED).map(|name| format!("`{name}`")).collect();
    let more = listed.len().saturating_sub(MOST_LISTED);
    let there = match (listed.len(), more) {
        (0, _) => return error.hint("there are no functions here"),
        (_, 0) => format!("there are {}", quoted.join(", ")),
        _ => format!("there are {} and {more} more", quoted.join(", ")),
    };
    error.hint(match nearest(wanted, names.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`? T{}", &there[1..]),
        None => there,
    })
}

/// The names of all functions of the account and region.
async fn all(aws: &Aws) -> Result<Vec<String>> {
    let mut pages = aws.lambda().list_functions().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            Error::new(Kind::Cloud, "Lambda does not list the functions").detail(explain(&error))
        })?;
        names.extend(page.functions().iter().filter_map(|one| one.function_name().map(str::to_owned)));
    }
    names.sort();
    Ok(names)
}
