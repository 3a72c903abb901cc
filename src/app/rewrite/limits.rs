//! What CloudFormation takes of one template. It says so only when everything has been uploaded, and not which stack is meant.

use serde_json::Value;

use super::{Rewriting, files::compact};
use crate::error::{Error, Kind, Result};

/// The most resources of one template.
const RESOURCES: usize = 500;

/// The most bytes of one template that is uploaded.
const BYTES: usize = 1_000_000;

/// Checks every template against the limits.
///
/// # Errors
/// [`Kind::Deployment`] for the first one that is too large, with what to do.
pub(super) fn check(rewriting: &Rewriting<'_>) -> Result<()> {
    let assembly = rewriting.assembly;
    for (index, body) in rewriting.bodies.iter().enumerate() {
        let own = &assembly.templates[index];
        // Nested stacks are named by what leads to them.
        let path = format!("{}/{}", assembly.stacks[own.stack].name, assembly.path_of(index));
        check_one(path.trim_end_matches('/'), &own.body, body)?;
    }
    Ok(())
}

/// Checks one template, which was `own` without stubs.
fn check_one(stack: &str, own: &Value, body: &Value) -> Result<()> {
    let resources =
        |body: &Value| body.get("Resources").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let bytes = |body: &Value| compact(body).len();
    for (what, size, of_app, limit) in
        [("resources", resources(body), resources(own), RESOURCES), ("bytes", bytes(body), bytes(own), BYTES)]
    {
        if size <= limit {
            continue;
        }
        let fewer = match size.saturating_sub(of_app) {
            0 => String::new(),
            added => format!("; {added} {what} of it are for stubs: `--function` has fewer of them"),
        };
        let message =
            format!("the template of `{stack}` has {size} {what}, and CloudFormation takes {limit}");
        return Err(Error::new(Kind::Deployment, message).hint(format!(
            "move some of its resources into another stack, or into a nested one (`NestedStack`){fewer}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A template with so many resources, and so many bytes in the first of them.
    fn template(resources: usize, bytes: usize) -> Value {
        let resource = |number| {
            let text = "x".repeat(if number == 0 { bytes } else { 0 });
            (format!("R{number}"), json!({ "Type": "T", "Properties": { "P": text } }))
        };
        json!({ "Resources": (0..resources).map(resource).collect::<serde_json::Map<_, _>>() })
    }

    #[test]
    fn what_is_too_large_is_told_with_its_place_and_with_what_stubs_add() {
        let told = |own: &Value, body: &Value| {
            let error = check_one("app/Inner", own, body).err()?;
            Some((error.message, error.hint.unwrap_or_default()))
        };
        assert_eq!(told(&template(500, 0), &template(500, 0)), None);
        let (message, hint) = told(&template(499, 0), &template(501, 0)).unwrap();
        assert_eq!(message, "the template of `app/Inner` has 501 resources, and CloudFormation takes 500");
        assert!(
            hint.ends_with("; 2 resources of it are for stubs: `--function` has fewer of them"),
            "{hint}"
        );
        let (_, hint) = told(&template(600, 0), &template(600, 0)).unwrap();
        assert!(hint.ends_with("(`NestedStack`)"), "{hint}");

        let empty = compact(&template(1, 0)).len();
        let of = |bytes: usize| template(1, bytes - empty);
        assert_eq!(told(&of(BYTES), &of(BYTES)), None);
        let (message, hint) = told(&of(BYTES - 9), &of(BYTES + 1)).unwrap();
        assert!(message.contains("has 1000001 bytes, and CloudFormation takes 1000000"), "{message}");
        assert!(hint.contains("; 10 bytes of it are for stubs"), "{hint}");
    }
}
