"""EventBridge: rules, which are enabled and disabled. None of them ever fires by itself."""

import json

from web import json_response


class Events:
    """The service."""

    def __init__(self, world):
        self.world = world
        # Name → whether it is enabled.
        self.rules = {}

    def handle(self, request, key):
        """Answers a request."""
        operation = request.headers.get("x-amz-target", "").removeprefix("AWSEvents.")
        name = json.loads(request.body)["Name"]
        self.world.record.add("events", operation=operation, who=key["who"], rule=name)
        if operation not in ("EnableRule", "DisableRule"):
            return failure("UnknownOperationException", f"the counterpart knows no {operation}")
        if name not in self.rules:
            return failure("ResourceNotFoundException", f"Rule {name} does not exist on EventBus default.")
        self.rules[name] = operation == "EnableRule"
        return json_response(200, {})


def failure(kind, message, status=400):
    """An error."""
    return json_response(status, {"__type": kind, "message": message}, content_type="application/x-amz-json-1.1")
