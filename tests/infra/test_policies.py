"""What parliament says of every policy of IAM that `sst` writes, and of the permissions that its documentation names."""

import json
import pathlib
import re
import sys
import unittest
import warnings

with warnings.catch_warnings():
    # It finds its own data in a way that is going out of use.
    warnings.simplefilter("ignore")
    from parliament import analyze_policy_string, expand_action

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/counterpart"))

import templates  # noqa: E402

ACCOUNT = "123456789012"
PLACES = {"aws": ("us-east-1", "amazonaws.com"), "aws-cn": ("cn-north-1", "amazonaws.com.cn"), "aws-us-gov": ("us-gov-west-1", "amazonaws.com")}

# What is said, and is well so: of which policy, and what; and why it is.
KNOWN = {
    ("ControlRole", "MALFORMED", "Statement contains neither Resource nor NotResource"): "it is what a role trusts, which names no resource; parliament knows no such policies",
}


class Policies(unittest.TestCase):
    def test_nothing_is_wrong_with_those_of_the_debug_stack(self):
        found, seen = {}, set()
        for partition, (region, suffix) in PLACES.items():
            for answers in ("mock", "function"):
                for name, document in documents(partition, region, suffix, answers):
                    seen.add(name)
                    for finding in findings(document):
                        found.setdefault((name, *finding), (partition, answers))
        self.assertEqual(seen, {"ControlRole", "PayloadsPolicy", "StubPolicy"})
        self.assertEqual({key: why for key, why in found.items() if key not in KNOWN}, {})
        self.assertEqual(set(KNOWN) - set(found), set(), "nobody says that any more")

    def test_what_is_wrong_is_found(self):
        statement = {"Effect": "Allow", "Action": ["dynamodb:GetItem"], "Resource": ["arn:aws:dynamodb:us-east-1:123456789012:table/t"]}
        for change, issue in (
            ({"Action": ["dynamodb:GetItems"]}, "UNKNOWN_ACTION"),
            ({"Action": ["dynamo:GetItem"]}, "UNKNOWN_PREFIX"),
            ({"Resource": ["arn:aws:s3:::bucket"]}, "RESOURCE_MISMATCH"),
            ({"Resource": ["table/t"]}, "INVALID_ARN"),
            ({"Effect": "allow"}, "MALFORMED"),
            ({"Condition": {"Bool": {"aws:SecureTransports": "false"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
        ):
            document = {"Version": "2012-10-17", "Statement": [{**statement, **change}]}
            self.assertIn(issue, {one for one, _ in findings(document)}, change)
        self.assertEqual(findings({"Version": "2012-10-17", "Statement": [statement]}), set())

    def test_each_action_that_is_documented_is_one_of_iam(self):
        texts = [path.read_text() for path in sorted((ROOT / "docs").glob("*.md")) + [ROOT / "README.md"]]
        named = {action for text in texts for action in re.findall(r"`([a-z0-9-]+:[A-Z][A-Za-z]+)`", text)}
        self.assertGreater(len(named), 10)
        for action in sorted(named):
            with self.subTest(action):
                self.assertEqual({f"{one['service']}:{one['action']}" for one in expand_action(action)}, {action})


def documents(partition, region, suffix, answers):
    """Each policy in the template as it is deployed, by the logical id of what it is in."""
    template = templates.read((ROOT / "infra/debug-stack.yaml").read_text())
    pseudo = {
        "AWS::AccountId": ACCOUNT, "AWS::Region": region, "AWS::Partition": partition, "AWS::URLSuffix": suffix, "AWS::StackName": "dev-app-debug-stack",
    }
    attribute = {"AWS::S3::Bucket": f"arn:{partition}:s3:::", "AWS::DynamoDB::Table": f"arn:{partition}:dynamodb:{region}:{ACCOUNT}:table/"}
    arn = lambda logical, _: attribute.get(template["Resources"][logical]["Type"], f"arn:{partition}:") + logical.lower()
    resolver = templates.Resolver(template, pseudo, {"RequireTls": "true", "Answers": answers}, str.lower, arn)
    for logical, resource in template["Resources"].items():
        if "Condition" not in resource or resolver.condition(resource["Condition"]):
            for key, value in resolver.value(resource.get("Properties", {})).items():
                if key.endswith("PolicyDocument"):
                    yield logical, value


def findings(document):
    """What parliament finds: which kind of thing, and what of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        policy = analyze_policy_string(json.dumps(document), include_community_auditors=True)
    return {(finding.issue, str(finding.detail)) for finding in policy.findings}


if __name__ == "__main__":
    unittest.main()
