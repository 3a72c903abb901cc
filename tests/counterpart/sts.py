"""STS: who one is, and the roles of the CDK's bootstrap stack."""

import time

from query import Failed, answer, failure, parameters

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class Sts:
    """The service."""

    def __init__(self, world):
        self.world = world

    def handle(self, request, key):
        """Answers a request."""
        form = parameters(request)
        action = form.get("Action", "")
        self.world.record.add("sts", operation=action, who=key["who"], role=form.get("RoleArn"))
        try:
            if action == "GetCallerIdentity":
                return answer(action, NAMESPACE, {"Arn": key["arn"], "UserId": "AROACOUNTERPART:caller", "Account": self.world.account})
            if action == "AssumeRole":
                return answer(action, NAMESPACE, self._assume(form, key))
            raise Failed("InvalidAction", f"Could not find operation {action} for version 2011-06-15")
        except Failed as failed:
            return failure(NAMESPACE, failed.code, failed.message, failed.status)

    def _assume(self, form, key):
        role = form["RoleArn"].split("/")[-1]
        if role not in self.world.roles or not self.world.roles[role].get("trusted"):
            resource = form["RoleArn"]
            raise Failed("AccessDenied", f"User: {key['arn']} is not authorized to perform: sts:AssumeRole on resource: {resource}", 403)
        arn = f"arn:aws:sts::{self.world.account}:assumed-role/{role}/{form['RoleSessionName']}"
        minted = self.world.keys.mint(f"role/{role}", arn)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.world.clock.wall() + int(form.get("DurationSeconds", 3600))))
        return {
            "AssumedRoleUser": {"Arn": arn, "AssumedRoleId": f"AROACOUNTERPART:{form['RoleSessionName']}"},
            "Credentials": {
                "AccessKeyId": minted["accessKeyId"], "SecretAccessKey": minted["secretAccessKey"],
                "SessionToken": minted["sessionToken"], "Expiration": expires,
            },
        }
