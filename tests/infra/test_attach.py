"""What cfn-lint and parliament say of the debug stack with the janitor in it, and of the policy that attaching takes."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from test_policies import ACCOUNT, PLACES, ROOT, findings, templates

JANITOR = ROOT / "infra/attach-janitor.yaml"
PLACE = "          # attach-janitor.py\n"

# What is said, and is well so, and why it is.
KNOWN = {
    "PRIVILEGE_ESCALATION": "to change the code of functions is what it is for; the janitor may do so to those with the tag",
    "PERMISSIONS_MANAGEMENT_ACTIONS": "of roles it may change nothing but whether they have one policy",
}


def text():
    """The template as `src/attach/switch/janitor.rs` makes it."""
    code = "".join(f"          {line}\n" if line else "\n" for line in (ROOT / "infra/attach-janitor.py").read_text().splitlines())
    resources = JANITOR.read_text().replace(PLACE, code)
    return (ROOT / "infra/debug-stack.yaml").read_text().replace("\nOutputs:\n", f"\n{resources}\nOutputs:\n", 1)


def statements(document):
    """Each statement by itself, so that it is known which one is meant."""
    for statement in document["Statement"]:
        yield {"Version": document["Version"], "Statement": [statement]}


class Attach(unittest.TestCase):
    def test_the_template_is_as_cloudformation_wants_it(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "template.yaml")
            path.write_text(text())
            lint = pathlib.Path(sys.executable).parent / "cfn-lint"
            done = subprocess.run([lint, path], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
        # What a request may have of a template in its body.
        self.assertLess(len(text().encode()), 51_200)

    def test_nothing_is_wrong_with_what_the_janitor_may_do(self):
        for partition, (region, suffix) in PLACES.items():
            for document in statements(self.policy(partition, region, suffix)):
                with self.subTest(partition=partition, document=document):
                    found = {issue for issue, _ in findings(document)}
                    self.assertEqual(found - set(KNOWN), set())

    def test_it_changes_only_what_is_attached_and_takes_off_only_one_policy(self):
        for statement in self.policy("aws", "us-east-1", "amazonaws.com")["Statement"]:
            for action in statement["Action"]:
                service, name = action.split(":")
                condition = json.dumps(statement.get("Condition", {}))
                if service == "lambda" and name.startswith("Update"):
                    self.assertIn('"aws:ResourceTag/sst:attached": "false"', condition)
                if service == "iam":
                    self.assertIn("iam:PolicyARN", condition)
                if name.startswith("Untag"):
                    self.assertIn('"aws:TagKeys": ["sst:attached"]', condition)

    def test_nothing_is_wrong_with_the_policy_in_the_documentation(self):
        page = (ROOT / "docs/attach.md").read_text()
        policy = re.search(r"\n## Permissions\n.*?```json\n(.*?)```", page, re.DOTALL).group(1)
        policy = policy.replace("ACCOUNT", ACCOUNT).replace("REGION", "eu-central-1")
        for document in statements(json.loads(policy)):
            with self.subTest(document["Statement"][0]["Sid"]):
                found = {issue for issue, _ in findings(document)}
                self.assertEqual(found - set(KNOWN), set())

    @staticmethod
    def policy(partition, region, suffix):
        """The janitor's own, as it is deployed."""
        template = templates.read(text())
        pseudo = {
            "AWS::AccountId": ACCOUNT, "AWS::Region": region, "AWS::Partition": partition, "AWS::URLSuffix": suffix,
            "AWS::StackName": "sst-attach-debug-stack",
        }
        attribute = {"AWS::S3::Bucket": f"arn:{partition}:s3:::", "AWS::DynamoDB::Table": f"arn:{partition}:dynamodb:{region}:{ACCOUNT}:table/"}
        arn = lambda logical, _: attribute.get(template["Resources"][logical]["Type"], f"arn:{partition}:") + logical.lower()
        reference = lambda logical: f"arn:{partition}:iam::{ACCOUNT}:policy/stub" if logical == "StubPolicy" else logical.lower()
        resolver = templates.Resolver(template, pseudo, {"RequireTls": "true", "Answers": "mock"}, reference, arn)
        (policy,) = resolver.value(template["Resources"]["JanitorRole"]["Properties"])["Policies"]
        return policy["PolicyDocument"]


if __name__ == "__main__":
    unittest.main()
