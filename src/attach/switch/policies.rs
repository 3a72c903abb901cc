//! What the role of a function has to be allowed while the function is a stub: the managed policy of the debug stack.

use super::refused::{Refused, patiently};
use crate::{
    app::stub_policy,
    aws::Aws,
    debug_stack::DebugStack,
    error::{Error, Kind, Result},
};

/// A role, and the policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role<'a> {
    /// How IAM is reached.
    pub aws: &'a Aws,
    /// The role's name.
    pub name: &'a str,
    /// The ARN of the policy.
    pub policy: &'a str,
}

impl Role<'_> {
    /// Whether it has the policy already; a role that is not there has none. None when that may not be asked.
    ///
    /// # Errors
    /// When IAM does not answer.
    pub(super) async fn has_policy(&self) -> Result<Option<bool>> {
        let client = self.aws.iam();
        let mut from = None;
        loop {
            let list =
                || client.list_attached_role_policies().role_name(self.name).set_marker(from.clone()).send();
            let page = match patiently("iam:ListAttachedRolePolicies", list).await {
                Ok(page) => page,
                Err(refused) if refused.is_denied() => return Ok(None),
                Err(refused) if refused.is_missing() => return Ok(Some(false)),
                Err(refused) => {
                    return Err(
                        refused.because(format!("cannot read the policies of the role `{}`", self.name))
                    );
                }
            };
            if page.attached_policies().iter().any(|policy| policy.policy_arn() == Some(self.policy)) {
                return Ok(Some(true));
            }
            from = page.marker;
            if from.is_none() {
                return Ok(Some(false));
            }
        }
    }

    /// Attaches it.
    ///
    /// # Errors
    /// When that is not allowed, or the role takes no more policies: what to do by hand.
    pub(super) async fn attach(&self, function: &str, debug_stack: &DebugStack) -> Result<()> {
        let client = self.aws.iam();
        let attach = || client.attach_role_policy().role_name(self.name).policy_arn(self.policy).send();
        match patiently("iam:AttachRolePolicy", attach).await {
            Ok(_) => Ok(()),
            Err(refused) => Err(self.by_hand(function, debug_stack, &refused)),
        }
    }

    /// Takes it off.
    pub(super) async fn detach(&self) -> Result<(), Refused> {
        let client = self.aws.iam();
        let detach = || client.detach_role_policy().role_name(self.name).policy_arn(self.policy).send();
        match patiently("iam:DetachRolePolicy", detach).await {
            // Somebody was faster, or the role has gone.
            Err(refused) if !refused.is_missing() => Err(refused),
            _ => Ok(()),
        }
    }

    /// Whether whoever may assume the role is CloudFront, which runs functions of its own kind. None when that may not be asked.
    pub(super) async fn is_for_edge(&self) -> Option<bool> {
        let client = self.aws.iam();
        let asked = patiently("iam:GetRole", || client.get_role().role_name(self.name).send()).await.ok()?;
        let trust = asked.role()?.assume_role_policy_document().unwrap_or_default().to_owned();
        Some(trust.contains("edgelambda.amazonaws.com"))
    }

    fn by_hand(&self, function: &str, debug_stack: &DebugStack, refused: &Refused) -> Error {
        let document = stub_policy(debug_stack, &self.aws.region, &self.aws.account);
        let document = serde_json::to_string_pretty(&document).unwrap_or_default();
        let message = format!(
            "the stub of `{function}` lacks permissions, and its role `{}` cannot be given them",
            self.name
        );
        Error::new(Kind::Cloud, message)
            .detail(format!("{}\n\nWhat its role has to be allowed:\n{document}", refused.text))
            .hint(format!(
                "have somebody attach the policy `{}` to the role, or allow `iam:AttachRolePolicy`; to see that it is attached takes \
                 `iam:ListAttachedRolePolicies`",
                self.policy
            ))
    }
}

/// The name of a role, of its ARN.
pub(super) fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
