"""Requests of programs: which are signed, and which AWS serves without a signature."""

import re
import uuid

import answers

# What is used here, by module.
USES = {
    "ministack.app": ["_credential_failure", "_routing_params", "detect_service"],
    "ministack.core.iam_actions": ["extract_iam_action", "unsigned_operations"],
    "ministack.core.iam_evaluator": ["AuthError", "_UNSIGNED_LINK_ACTIONS"],
}

# The shape of a signature of version 4 or 4A. Whether it is right is checked when IAM is enforced.
_SIGNED = re.compile(
    r"AWS4-(HMAC-SHA256|ECDSA-P256-SHA256) "
    r"(?=.*\bCredential=[^\s/,]+/[^\s,]+)(?=.*\bSignedHeaders=[^\s,]+)(?=.*\bSignature=[^\s,]+).*"
)

# What ministack's own Athena and Firehose send to its catalog of tables.
_OWN = re.compile(r"AWS4-HMAC-SHA256 Credential=[^\s/,]+/19700101/[^\s,]+/aws4_request")

# More than any request that is served without a signature.
_MOST = 1 << 20


def is_signed(request):
    """Whether the header says who sent the request."""
    authorization = request.header("authorization")
    is_own = request.path.startswith("/iceberg") and _OWN.fullmatch(authorization)
    return bool(is_own or _SIGNED.fullmatch(authorization))


async def read(receive):
    """The body, and how it is received again; no body if it is too long."""
    messages, body = [], b""
    more = True
    while more and len(body) <= _MOST:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)

    async def again():
        return messages.pop(0) if messages else await receive()

    return (None if more else body), again


def answer(request, body):
    """A refusal in the words of the service, unless AWS serves this without a signature: an operation that its SDKs do not sign, or a
    link in a message of SNS."""
    from ministack import app as cloud
    from ministack.core.iam_actions import extract_iam_action, unsigned_operations
    from ministack.core.iam_evaluator import _UNSIGNED_LINK_ACTIONS, AuthError

    method, path, headers = request.method, request.path, request.headers
    parameters = cloud._routing_params(method, path, headers, body or b"", request.query)
    service = cloud.detect_service(method, path, headers, parameters)
    if body is not None and "content-encoding" not in headers:
        action = extract_iam_action(service, method, path, headers, body, parameters) or ""
        if action in _UNSIGNED_LINK_ACTIONS or action.partition(":")[2] in unsigned_operations(service):
            return None
    why = "the request has no signature in its Authorization header; any key will do"
    failure = AuthError("MissingAuthenticationToken", why)
    return answers.of_service(cloud._credential_failure(service, "", str(uuid.uuid4()), failure, headers), why)
