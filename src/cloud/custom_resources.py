"""Fails a custom resource whose function fails without having answered."""

import threading

# What is replaced or used here, by module.
USES = {
    "ministack.services.cloudformation.custom_resource": ["_lock", "_pending", "deliver_response", "register_token"],
    "ministack.services.lambda_svc": ["_execute_function_with_config_scope"],
}


def apply():
    """Answers for the function when that has failed.

    AWS waits for an answer for an hour, and so would ministack. Here somebody sits in front of it. Only the call that ministack
    makes for the resource itself counts, which it makes in the thread that registered the answer: the CDK's `Provider` with an
    `isCompleteHandler` has Step Functions call another function with the same event, whose failure means no more than "not yet".
    """
    from ministack.services import lambda_svc
    from ministack.services.cloudformation import custom_resource

    register = custom_resource.register_token
    original = lambda_svc._execute_function_with_config_scope
    own = threading.local()

    def register_token(token):
        own.token = token
        return register(token)

    def execute(function, event):
        result = original(function, event)
        url = event.get("ResponseURL") if isinstance(event, dict) else None
        token = url.rpartition("/")[2] if isinstance(url, str) else None
        with custom_resource._lock:
            open_request = custom_resource._pending.get(token)
        is_own = token is not None and token == getattr(own, "token", None)
        if is_own and result.get("error") and open_request is not None and open_request["result"] is None:
            reason = "the function of the custom resource failed: {}".format(result.get("body"))
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": reason})
        return result

    custom_resource.register_token = register_token
    lambda_svc._execute_function_with_config_scope = execute
