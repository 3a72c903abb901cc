"""Has AppSync take whatever a resolver's function returns, and say so when it fails.

ministack parses what it has parsed already: a text is an error unless it happens to be JSON, and so is a list. A failure becomes the
field's value, of which the client sees nothing but that it does not fit.
"""

import json
import threading

# What is replaced or used here, by module.
USES = {
    "ministack.services.appsync": ["_AppSyncResolverError", "_invoke_lambda_with_event", "_resolve_lambda"],
    "ministack.services.lambda_svc": ["_execute_function_with_config_scope"],
}


def apply():
    """Gives AppSync, and nobody else, results that it can parse once more."""
    from ministack.services import appsync, lambda_svc

    execute = lambda_svc._execute_function_with_config_scope
    own = threading.local()

    def execute_function(function, event):
        result = execute(function, event)
        if not getattr(own, "resolves", False):
            return result
        body = result.get("body")
        if result.get("error"):
            own.failure = (body.get("errorMessage") if isinstance(body, dict) else None) or "the function failed"
        return {**result, "body": json.dumps(body)}

    def resolving(original):
        def resolve(*arguments, **named):
            own.resolves, own.failure = True, None
            try:
                return original(*arguments, **named)
            finally:
                own.resolves = False
                if own.failure is not None:
                    # In place of what was made of it.
                    raise appsync._AppSyncResolverError(own.failure, "Lambda:Unhandled") from None

        return resolve

    lambda_svc._execute_function_with_config_scope = execute_function
    for name in ("_invoke_lambda_with_event", "_resolve_lambda"):
        setattr(appsync, name, resolving(getattr(appsync, name)))
