"""IAM: the managed policies that roles have."""

import json
import urllib.parse

from query import Failed, answer, failure, parameters
from resources import MOST_MANAGED

NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


class Iam:
    """The service."""

    def __init__(self, world):
        self.world = world

    def handle(self, request, key):
        """Answers a request."""
        form = parameters(request)
        action = form.get("Action", "")
        self.world.record.add("iam", operation=action, who=key["who"], role=form.get("RoleName"), policy=form.get("PolicyArn"))
        try:
            known = getattr(self, f"_{action}", None)
            if known is None:
                raise Failed("InvalidAction", f"Could not find operation {action} for version 2010-05-08")
            name = form["RoleName"]
            if name not in self.world.roles:
                raise Failed("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
            return answer(action, NAMESPACE, known(form, self.world.roles[name]))
        except Failed as failed:
            return failure(NAMESPACE, failed.code, failed.message, failed.status)

    def _ListAttachedRolePolicies(self, _, role):
        return {"AttachedPolicies": [{"PolicyName": arn.split("/")[-1], "PolicyArn": arn} for arn in sorted(role["attached"])], "IsTruncated": False}

    def _AttachRolePolicy(self, form, role):
        if form["PolicyArn"] not in role["attached"] and len(role["attached"]) >= MOST_MANAGED:
            raise Failed("LimitExceeded", f"Cannot exceed quota for PoliciesPerRole: {MOST_MANAGED}", 409)
        role["attached"].add(form["PolicyArn"])

    def _DetachRolePolicy(self, form, role):
        if form["PolicyArn"] not in role["attached"]:
            raise Failed("NoSuchEntity", f"Policy {form['PolicyArn']} was not found.", 404)
        role["attached"].discard(form["PolicyArn"])

    def _GetRole(self, form, role):
        service = role.get("service", "lambda.amazonaws.com")
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
        name = form["RoleName"]
        return {
            "Role": {
                "Path": "/", "RoleName": name, "RoleId": "AROACOUNTERPARTROLE00", "Arn": f"arn:aws:iam::{self.world.account}:role/{name}",
                "CreateDate": "2026-12-01T00:00:00Z", "AssumeRolePolicyDocument": urllib.parse.quote(json.dumps(trust)),
            }
        }
