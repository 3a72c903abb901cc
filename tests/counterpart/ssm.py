"""Systems Manager: the parameter in which the CDK's bootstrap stack says what version it has."""

import json

from web import json_response

JSON = "application/x-amz-json-1.1"


def failure(kind, message, status=400):
    """An error."""
    return json_response(status, {"__type": kind, "message": message}, content_type=JSON)


class Ssm:
    """The service."""

    def __init__(self, world):
        self.world = world
        self.parameters = {"/cdk-bootstrap/hnb659fds/version": "30"}

    def handle(self, request, key):
        """Answers a request."""
        operation = request.headers.get("x-amz-target", "").removeprefix("AmazonSSM.")
        asked = json.loads(request.body or b"{}")
        self.world.record.add("ssm", operation=operation, who=key["who"], name=asked.get("Name"))
        if operation != "GetParameter":
            return failure("UnknownOperationException", f"the counterpart knows no {operation}")
        name = asked["Name"]
        if name not in self.parameters:
            return failure("ParameterNotFound", f"Parameter {name} not found.")
        arn = f"arn:aws:ssm:{self.world.region}:{self.world.account}:parameter{name}"
        parameter = {"Name": name, "Type": "String", "Value": self.parameters[name], "Version": 1, "ARN": arn, "DataType": "text"}
        return json_response(200, {"Parameter": parameter}, content_type=JSON)
