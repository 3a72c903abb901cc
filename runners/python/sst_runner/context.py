"""The `context` of a handler, made from the headers of `/invocation/next` and the environment."""

import json
import logging
import os
import sys
import time

from .errors import RuntimeFault

#: What a client context may say about a trace.
_TRACE_FIELDS = ("traceparent", "tracestate", "baggage")


def lambda_context(headers):
    """
    :param headers: of `/invocation/next`, names in lower case
    :raises RuntimeFault: when one of them is not the JSON that it should be
    """
    return LambdaContext(
        headers.get("lambda-runtime-aws-request-id"),
        _parse(headers.get("lambda-runtime-client-context"), "Client Context"),
        _parse(headers.get("lambda-runtime-cognito-identity"), "Cognito Identity"),
        int(headers.get("lambda-runtime-deadline-ms") or 0),
        headers.get("lambda-runtime-invoked-function-arn"),
        headers.get("lambda-runtime-aws-tenant-id"),
    )


def apply_to_environment(headers):
    """Puts into the environment what belongs to this invocation only.

    That is the trace id, and the role's credentials where the Runtime API sends them along.
    """
    _set_or_delete("_X_AMZN_TRACE_ID", headers.get("lambda-runtime-trace-id"))
    credentials = headers.get("sst-credentials")
    if credentials:
        values = json.loads(credentials)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            _set_or_delete(name, values.get(name))


def _set_or_delete(name, value):
    if value:
        os.environ[name] = value
    else:
        os.environ.pop(name, None)


def _parse(text, name):
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise RuntimeFault("LambdaContextUnmarshalError", "Unable to parse {} JSON: {}".format(name, error))


class _Shown:
    """Shows its fields, as the objects of Lambda's own context do."""

    __slots__ = ()
    _shown = ()

    def __repr__(self):
        fields = ",".join("{}={}".format(name, getattr(self, name)) for name in self._shown or self.__slots__)
        return "{}([{}])".format(type(self).__name__, fields)


class CognitoIdentity(_Shown):
    """Who called, when it was a user of a Cognito identity pool. There is always one, perhaps without values."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, fields):
        self.cognito_identity_id = fields.get("cognitoIdentityId")
        self.cognito_identity_pool_id = fields.get("cognitoIdentityPoolId")


class Client(_Shown):
    """The app of a mobile SDK."""

    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, fields):
        for name in self.__slots__:
            setattr(self, name, fields.get(name))


class ClientContext(_Shown):
    """What a caller sent as the client context."""

    __slots__ = ("custom", "env", "client")

    def __init__(self, fields):
        client = fields.get("client")
        self.custom = fields.get("custom")
        self.env = fields.get("env")
        self.client = None if client is None else Client(client)


class LambdaContext(_Shown):
    """The second argument of a handler."""

    __slots__ = ("__dict__", "__weakref__")
    _shown = (
        ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb")
        + ("function_version", "invoked_function_arn", "client_context", "identity", "tenant_id")
    )

    def __init__(self, request_id, client_context, identity, deadline, function_arn, tenant_id):
        self.aws_request_id = request_id
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = function_arn
        self.tenant_id = tenant_id
        self._trace = _trace_fields(client_context)
        self.client_context = None if client_context is None else ClientContext(client_context)
        self.identity = CognitoIdentity(identity or {})
        self._deadline = deadline

    def get_remaining_time_in_millis(self):
        """How long the invocation may still take."""
        return max(0, self._deadline - int(time.time() * 1000))

    def w3c(self):
        """The trace that the client context tells of."""
        return dict(self._trace)

    def log(self, message):
        """Writes to the log, as it is: without a prefix and without a line break."""
        for handler in logging.getLogger().handlers:
            if hasattr(handler, "log_sink"):
                handler.log_sink.log(str(message))
                return
        sys.stdout.write(str(message))


def _trace_fields(client_context):
    """Takes the trace out of a client context."""
    if not isinstance(client_context, dict):
        return {}
    trace = client_context.pop("w3c", None)
    if not isinstance(trace, dict):
        return {}
    return {name: trace[name] for name in _TRACE_FIELDS if isinstance(trace.get(name), str)}
