"""Objects in S3, which a browser app reads and writes by addresses with a signature in them.

Whether a page may read an answer is for the bucket's own rules to say. ministack asks these only when IAM is enforced.
"""

import base64
import hashlib
import hmac
import time
from urllib.parse import unquote

import answers
import unsigned

# What is replaced or used here, by module.
USES = {
    "ministack.app": ["AUTH"],
    "ministack.core.iam_actions": ["_s3_action"],
    "ministack.core.iam_evaluator": ["CredentialResolutionError", "find_iam_access_key_account", "resolve_credential"],
    "ministack.core.responses": ["get_account_id"],
    "ministack.services.s3": [
        "_bucket_owner_account",
        "_error",
        "_foreign_bucket_allows",
        "_parse_multipart_form",
        "_post_object",
        "cors_preflight",
        "cors_response_headers",
    ],
}

# What a signature in the query may be for. Of a bucket's and an object's settings nothing is.
_ACTIONS = {
    "AbortMultipartUpload",
    "DeleteObject",
    "DeleteObjectVersion",
    "GetObject",
    "GetObjectVersion",
    "ListMultipartUploadParts",
    "PutObject",
}

# The parameters that are part of what is signed in version 2 of the signature.
_SIGNED_PARAMETERS = {
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "uploadId",
    "uploads",
    "versionId",
}


def apply():
    """Refuses forms that nobody has signed: ministack looks at a signature only when there is one."""
    from ministack.services import s3

    original = s3._post_object

    def post_object(bucket, body, headers):
        fields = {part[0].lower() for part in s3._parse_multipart_form(headers.get("content-type", ""), body) or []}
        if "x-amz-signature" not in fields and "signature" not in fields:
            return s3._error("AccessDenied", "The form is not signed.", 403)
        return original(bucket, body, headers)

    s3._post_object = post_object


def answer(request, place):
    """What is answered at once: a preflight, or a refusal."""
    from ministack import app as cloud
    from ministack.services import s3

    if request.method == "OPTIONS":
        return answers.of_service(s3.cors_preflight(place.bucket, place.key, request.headers))
    if unsigned.is_signed(request):
        # Without IAM nobody looks whether the signature is one.
        trusted = not request.is_page or (cloud.AUTH and _is_allowed(request, place))
        return None if trusted else answers.object_refusal("a web page needs an address with a signature in it")
    if request.is_page and request.method not in ("GET", "HEAD") and not _is_allowed(request, place):
        return answers.object_refusal("the bucket's CORS rules do not allow this origin")
    if request.method == "POST" and not place.key:
        is_form = request.header("content-type").startswith("multipart/form-data")
        return None if is_form and not request.query else answers.object_refusal("the request is not signed")
    if _is_signed_in_query(request):
        return _presigned(request, place)
    owner = s3._bucket_owner_account(place.bucket)
    is_read = request.method in ("GET", "HEAD") and place.key and _action(request, place) in _ACTIONS
    if is_read and owner is not None:
        # As anybody might, if bucket or object are public.
        if s3._foreign_bucket_allows(owner, place.bucket, place.key, request.method, request.query, "", request.headers):
            return None
    return answers.object_refusal("the request is not signed; any key will do")


def with_cors(send, request, place):
    """Sends answers with what the bucket's rules say about the origin."""
    from ministack.services import s3

    def by_the_rules():
        return s3.cors_response_headers(place.bucket, request.method, request.headers)

    return send if request.method == "OPTIONS" else answers.without_cors(send, by_the_rules)


def _is_allowed(request, place):
    from ministack.services import s3

    return bool(s3.cors_response_headers(place.bucket, request.method, request.headers))


def _action(request, place):
    from ministack.core.iam_actions import _s3_action

    return _s3_action(request.method, f"/{place.bucket}/{place.key}", request.query)


def _value(request, name):
    return (request.query.get(name) or request.query.get(name.lower()) or [""])[0]


def _is_signed_in_query(request):
    return bool(_value(request, "X-Amz-Signature") or _value(request, "Signature"))


def _presigned(request, place):
    from ministack import app as cloud

    if not place.key or _action(request, place) not in _ACTIONS:
        return answers.object_refusal("a signature in the query is for reading and writing objects")
    algorithm = _value(request, "X-Amz-Algorithm")
    if _value(request, "X-Amz-Signature"):
        # ministack verifies the first of these always, the other when IAM is enforced.
        if algorithm == "AWS4-HMAC-SHA256" or (cloud.AUTH and algorithm == "AWS4-ECDSA-P256-SHA256"):
            return None
        return answers.object_refusal("the signature's algorithm is not known")
    return None if _is_version_2(request, place) else answers.object_refusal("the signature does not match, or has expired")


def _is_version_2(request, place):
    """Whether a signature of version 2 is right, which boto3 makes by itself. ministack does not look at it.

    See "Signing and Authenticating REST Requests" in the user guide of Amazon S3.
    """
    from ministack.core.iam_evaluator import (
        AmbiguousAccessKeyError,
        CredentialResolutionError,
        find_iam_access_key_account,
        resolve_credential,
    )
    from ministack.core.responses import get_account_id

    key, expires = _value(request, "AWSAccessKeyId"), _value(request, "Expires")
    if not expires.isdecimal() or int(expires) < time.time():
        return False
    try:
        # A numeric key is its own account.
        account = find_iam_access_key_account(key) or (key if key.isdecimal() else get_account_id())
    except AmbiguousAccessKeyError:
        return False
    credential = resolve_credential(key, account, _value(request, "x-amz-security-token"))
    if isinstance(credential, CredentialResolutionError):
        return False
    amz = {name: values[0] for name, values in request.query.items() if name.startswith("x-amz-")}
    amz.update((name, request.header(name)) for name in request.headers if name.startswith("x-amz-"))
    parameters = sorted(pair.split("=", 1) for pair in request.raw_query.split("&"))
    parameters = ["=".join([pair[0], *map(unquote, pair[1:])]) for pair in parameters if pair[0] in _SIGNED_PARAMETERS]
    path = request.raw_path if place.is_path_style else f"/{place.bucket}{request.raw_path}"
    lines = [
        request.method,
        request.header("content-md5"),
        request.header("content-type"),
        expires,
        *(f"{name}:{value}" for name, value in sorted(amz.items())),
        path + ("?" + "&".join(parameters) if parameters else ""),
    ]
    digest = hmac.new(credential.secret_access_key.encode(), "\n".join(lines).encode(), hashlib.sha1).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), _value(request, "Signature"))
