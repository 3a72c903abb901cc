"""Signature Version 4, checked by making each signature anew with botocore: the AWS CLI's own implementation is the measure.

A request is taken for what botocore would have signed: method, path and query as they were sent, the headers that the sender says it has
signed, and the body. So a wrong encoding, a header that changed on its way, or a body that differs is a mismatch, as it is on AWS.
"""

import calendar
import hashlib
import hmac
import re
import secrets
import time

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# How far the time of a request may be from that of AWS.
TOLERANCE = 5 * 60

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)


class Refused(Exception):
    """Why a request is not let in. Each service has words of its own for the same thing; `fault` is the thing."""

    def __init__(self, fault, message, who=None):
        super().__init__(message)
        self.fault, self.message, self.who = fault, message, who


class Keys:
    """The access keys that are good, and whose they are: `developer`, `tests`, `role/<name>`, `function/<name>`."""

    def __init__(self):
        self._keys = {}

    def add(self, who, access_key, secret_key, token=None, arn=None, region=None):
        """Makes a key known."""
        self._keys[access_key] = {
            "who": who, "accessKeyId": access_key, "secretAccessKey": secret_key, "sessionToken": token, "arn": arn, "expired": False,
        }
        return self._keys[access_key]

    def mint(self, who, arn):
        """New temporary credentials. The token has all characters that have to be encoded somewhere, and a usual length."""
        token = "IQoJb3JpZ2luX2VjE//////////wEaCXVzLWVhc3QtMSJH" + secrets.token_urlsafe(30) + "a/+=" * 200
        return self.add(who, "ASIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(18) + "/+" + secrets.token_hex(9), token, arn)

    def get(self, access_key):
        """A key, if it is known."""
        return self._keys.get(access_key)

    def expire(self, who=None):
        """Makes credentials worthless, as they become with time."""
        for key in self._keys.values():
            if who in (None, key["who"]):
                key["expired"] = True


def scope_of(request):
    """The access key, region and service that a request is signed for, without a look at the signature."""
    text = None
    authorization = request.headers.get("authorization")
    if authorization:
        match = re.search(r"Credential=([^,\s]+)", authorization)
        text = match and match.group(1)
    elif "X-Amz-Credential" in request.query:
        text = request.parameters().get("X-Amz-Credential")
    parts = (text or "").split("/")
    return (parts[0], parts[2], parts[3]) if len(parts) == 5 else None


class Checker:
    """Checks the signature of each request and records what it found."""

    def __init__(self, keys, region, clock, record):
        self._keys, self._region, self._clock, self._record = keys, region, clock, record

    def check(self, request, service):
        """Who sent a request. Raises `Refused`, which is recorded as well, so that a test can say that there was none."""
        form = "query" if "authorization" not in request.headers else "headers"
        entry = {"service": service, "method": request.method, "path": request.path, "form": form}
        try:
            key = self._by_query(request, service) if form == "query" else self._by_headers(request, service)
        except Refused as refused:
            self._record.add("signature", **entry, ok=False, who=refused.who, fault=refused.fault, why=refused.message)
            raise
        self._record.add("signature", **entry, ok=True, who=key["who"], accessKeyId=key["accessKeyId"])
        return key

    def _by_headers(self, request, service):
        authorization = request.headers["authorization"]
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})", authorization
        )
        if not match:
            raise Refused("incomplete", f"Authorization header is not one of AWS4-HMAC-SHA256: {authorization[:40]}")
        credential, names, signature = match.groups()
        stamp = request.headers.get("x-amz-date")
        if not stamp:
            raise Refused("incomplete", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
        key = self._key(credential, stamp, service, request.headers.get("x-amz-security-token"))
        self._in_time(stamp, stamp, key)
        names = names.split(";")
        for name in ("host", "x-amz-date") + (("x-amz-security-token",) if key["sessionToken"] else ()):
            if name not in names:
                raise Refused("unsigned", f"'{name}' must be a 'SignedHeader' in the AWS Authorization.", key["who"])
        unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in names]
        if service == "s3" and unsigned:
            raise Refused("unsigned", f"There were headers present in the request which were not signed: {unsigned}", key["who"])
        declared = request.headers.get("x-amz-content-sha256")
        if service == "s3" and declared is None:
            raise Refused("incomplete", "Missing required header for this request: x-amz-content-sha256", key["who"])
        if declared and re.fullmatch("[0-9a-f]{64}", declared) and declared != hashlib.sha256(request.body).hexdigest():
            raise Refused("content", "The provided 'x-amz-content-sha256' header does not match what was computed.", key["who"])
        again = AWSRequest(method=request.method, url=f"http://{request.headers['host']}{request.target}", data=request.body)
        for name, value in request.headers_list:
            if name in names and name != "host":
                again.headers[name] = value
        again.headers["host"] = request.headers["host"]
        self._compare(S3SigV4Auth if service == "s3" else SigV4Auth, again, key, service, stamp, signature)
        return key

    def _by_query(self, request, service):
        parameters = request.parameters()
        required = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"]
        if missing := [name for name in required if name not in parameters]:
            fault = "unauthenticated" if len(missing) == len(required) else "incomplete"
            raise Refused(fault, "Missing Authentication Token" if fault == "unauthenticated" else f"missing: {missing}")
        stamp = parameters["X-Amz-Date"]
        key = self._key(parameters["X-Amz-Credential"], stamp, service, parameters.get("X-Amz-Security-Token"))
        self._in_time(stamp, stamp, key, int(parameters["X-Amz-Expires"]))
        pairs = [pair for pair in request.query.split("&") if not pair.startswith("X-Amz-Signature=")]
        again = AWSRequest(method=request.method, url=f"http://{request.headers['host']}{request.path}?{'&'.join(pairs)}")
        for name in parameters["X-Amz-SignedHeaders"].split(";"):
            again.headers[name] = request.headers.get(name, "")
        self._compare(S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth, again, key, service, stamp, parameters["X-Amz-Signature"])
        return key

    def _key(self, credential, stamp, service, token):
        parts = credential.split("/")
        if len(parts) != 5 or parts[4] != "aws4_request":
            raise Refused("incomplete", "Credential must have five parts and end in aws4_request")
        access_key, date, region, scoped, _ = parts
        key = self._keys.get(access_key)
        if key is None or (key["sessionToken"] or None) != (token or None):
            raise Refused("unknown", "The security token included in the request is invalid.", key and key["who"])
        if key["expired"]:
            raise Refused("expired", "The security token included in the request is expired", key["who"])
        if region != self._region:
            raise Refused("scope", f"Credential should be scoped to a valid region, not '{region}'. ", key["who"])
        if scoped != service:
            raise Refused("scope", f"Credential should be scoped to correct service: '{service}'. ", key["who"])
        if date != stamp[:8]:
            raise Refused("scope", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP", key["who"])
        return key

    def _in_time(self, stamp, shown, key, good_for=TOLERANCE):
        try:
            signed = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
        except ValueError as error:
            raise Refused("incomplete", f"Date must be in ISO-8601 'basic format'. Got '{shown}'.", key["who"]) from error
        now = self._clock.wall()
        at = lambda moment: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
        if signed + good_for < now:
            message = f"Signature expired: {stamp} is now earlier than {at(now - good_for)} ({at(now)} - {good_for // 60} min.)"
            raise Refused("time", message, key["who"])
        if signed > now + TOLERANCE:
            message = f"Signature not yet current: {stamp} is still later than {at(now + TOLERANCE)} ({at(now)} + 5 min.)"
            raise Refused("time", message, key["who"])

    def _compare(self, signer, again, key, service, stamp, signature):
        auth = signer(Credentials(key["accessKeyId"], key["secretAccessKey"], key["sessionToken"]), service, self._region)
        again.context["timestamp"] = stamp
        canonical = auth.canonical_request(again)
        expected = auth.signature(auth.string_to_sign(again, canonical), again)
        if not hmac.compare_digest(expected, signature):
            message = f"{MISMATCH}\n\nThe Canonical String for this request should have been\n'{canonical}'\n"
            raise Refused("mismatch", message, key["who"])

