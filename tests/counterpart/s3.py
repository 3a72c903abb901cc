"""S3: buckets and objects, with the checksums that today's SDKs send along and the encoding in which they stream them."""

import base64
import hashlib
import re
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
import zlib
from email.utils import formatdate
from xml.sax.saxutils import escape

from tunnel import DOMAIN
from web import Response

XML = "application/xml"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Failed(Exception):
    """An error with a code."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def failure(status, code, message):
    """An error as S3 answers it."""
    text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message><RequestId>counterpart</RequestId></Error>"
    return Response(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', content_type=XML)


def xml(name, inner):
    """A document with a root element."""
    return Response(200, f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {NAMESPACE}>{inner}</{name}>', content_type=XML)


def crc64nvme(data):
    """CRC-64/NVME, which the standard library has not."""
    value = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ CRC64[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFFFFFFFFFF


def _table(polynomial):
    table = []
    for index in range(256):
        for _ in range(8):
            index = (index >> 1) ^ (polynomial if index & 1 else 0)
        table.append(index)
    return table


CRC64 = _table(0x9A6C9329AC4BC9B5)
CRC32C = _table(0x82F63B78)


def crc32c(data):
    """CRC-32C."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ CRC32C[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


CHECKSUMS = {
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "x-amz-checksum-crc32c": lambda data: crc32c(data).to_bytes(4, "big"),
    "x-amz-checksum-crc64nvme": lambda data: crc64nvme(data).to_bytes(8, "big"),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data).digest(),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
    "content-md5": lambda data: hashlib.md5(data).digest(),
}


def content(request):
    """What is to be stored, without the encoding for streams, and the checksums that came along."""
    checksums = {name: request.headers[name] for name in CHECKSUMS if name in request.headers}
    body = request.body
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in request.headers.get("content-encoding", ""):
        body, trailers = dechunk(body)
        announced = [name.strip() for name in request.headers.get("x-amz-trailer", "").split(",") if name.strip()]
        if sorted(announced) != sorted(name for name in trailers if name != "x-amz-trailer-signature"):
            raise Failed(400, "MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform")
        checksums.update({name: trailers[name] for name in announced})
        length = request.headers.get("x-amz-decoded-content-length")
        if length is None:
            raise Failed(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if int(length) != len(body):
            raise Failed(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
    for name, value in checksums.items():
        if base64.b64encode(CHECKSUMS[name](body)).decode() != value:
            raise Failed(400, "BadDigest", f"The {name} you specified did not match the calculated checksum.")
    return body, checksums


def dechunk(body):
    """Takes the encoding `aws-chunked` off. Returns the content and the trailers."""
    parts, at = [], 0
    try:
        while True:
            end = body.index(b"\r\n", at)
            size = int(body[at:end].split(b";")[0], 16)
            at = end + 2
            if size == 0:
                break
            parts.append(body[at : at + size])
            if body[at + size : at + size + 2] != b"\r\n":
                raise ValueError
            at += size + 2
    except ValueError as error:
        raise Failed(400, "IncompleteBody", "The request body is not well-formed") from error
    trailers = {}
    for line in body[at:].split(b"\r\n"):
        if line:
            name, _, value = line.decode().partition(":")
            trailers[name.strip().lower()] = value.strip()
    return b"".join(parts), trailers


class S3:
    """All buckets of the account."""

    def __init__(self, world):
        self.world = world
        self.buckets = {}

    def create_bucket(self, name):
        """An empty bucket."""
        self.buckets[name] = {}

    def get(self, bucket, key):
        """The bytes of an object."""
        return self.buckets[bucket][key]["body"]

    def put(self, bucket, key, body):
        """Has an object be there."""
        self.buckets[bucket][key] = {"body": body, "etag": f'"{hashlib.md5(body).hexdigest()}"', "time": time.time(), "headers": {}, "checksums": {}}

    def handle(self, request, key):
        """Answers a request. Buckets are in the path, or in the name of a host that only a company's proxy finds."""
        bucket = request.headers["host"].removesuffix(f".{DOMAIN}")
        whole = request.path if bucket == request.headers["host"] else f"{bucket}{request.path}"
        name, _, path = urllib.parse.unquote(whole).lstrip("/").partition("/")
        query = request.parameters()
        operation = f"{request.method} {'object' if path else 'bucket'}"
        try:
            response = self._answer(request, name, path, query, key)
        except Failed as failed:
            self.world.record.add("s3", operation=operation, who=key["who"], bucket=name, key=path, error=failed.code)
            response = failure(failed.status, failed.code, failed.message)
        else:
            length = len(request.body) if request.method == "PUT" else len(response.body)
            self.world.record.add("s3", operation=operation, who=key["who"], bucket=name, key=path, length=length)
        return response

    def _answer(self, request, name, path, query, key):
        if name not in self.buckets:
            raise Failed(404, "NoSuchBucket", "The specified bucket does not exist")
        bucket = self.buckets[name]
        if path:
            return self._object(request, bucket, path)
        if request.method == "HEAD":
            return Response(200, headers={"x-amz-bucket-region": self.world.region})
        if request.method == "POST" and "delete" in query:
            return self._delete_several(request, bucket)
        if request.method == "DELETE" and "policy" in query:
            return Response(204)
        if request.method == "GET" and "location" in query:
            where = "" if self.world.region == "us-east-1" else self.world.region
            return xml("LocationConstraint", where)
        if request.method == "GET" and "encryption" in query:
            default = "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
            return xml("ServerSideEncryptionConfiguration", f"<Rule>{default}</Rule>")
        if request.method == "GET" and not set(query) - {"list-type", "prefix", "max-keys", "continuation-token", "x-id", "start-after", "encoding-type"}:
            return self._list(name, bucket, query)
        raise Failed(501, "NotImplemented", f"the counterpart knows no {request.method} with {sorted(query)}")

    def _object(self, request, bucket, path):
        found = bucket.get(path)
        if request.method == "PUT":
            if request.headers.get("if-none-match") == "*" and found:
                raise Failed(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
            body, checksums = content(request)
            kept = {name: value for name, value in request.headers.items() if name == "content-type" or name.startswith("x-amz-meta-")}
            bucket[path] = {"body": body, "etag": f'"{hashlib.md5(body).hexdigest()}"', "time": time.time(), "headers": kept, "checksums": checksums}
            return Response(200, headers={"etag": bucket[path]["etag"], **{name: checksums[name] for name in checksums if name != "content-md5"}})
        if request.method == "DELETE":
            bucket.pop(path, None)
            return Response(204)
        if found is None:
            raise Failed(404, "NoSuchKey", "The specified key does not exist.")
        body, status = found["body"], 200
        headers = {"etag": found["etag"], "last-modified": formatdate(found["time"], usegmt=True), "accept-ranges": "bytes", **found["headers"]}
        if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers.update({name: value for name, value in found["checksums"].items() if name != "content-md5"})
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
            first, last = int(part.group(1)), int(part.group(2) or len(body) - 1)
            headers["content-range"] = f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}"
            body, status = body[first : last + 1], 206
        if request.method not in ("GET", "HEAD"):
            raise Failed(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        return Response(status, body, headers)

    @staticmethod
    def _delete_several(request, bucket):
        body, checksums = content(request)
        if not checksums:
            raise Failed(400, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
        deleted = []
        for element in ElementTree.fromstring(body).iter():
            if element.tag.endswith("}Key") or element.tag == "Key":
                bucket.pop(element.text, None)
                deleted.append(f"<Deleted><Key>{escape(element.text)}</Key></Deleted>")
        return xml("DeleteResult", "".join(deleted))

    @staticmethod
    def _list(name, bucket, query):
        prefix, limit = query.get("prefix", ""), int(query.get("max-keys", 1000))
        after = query.get("continuation-token", query.get("start-after", ""))
        keys = [key for key in sorted(bucket) if key.startswith(prefix) and key > after]
        entries = []
        for key in keys[:limit]:
            found = bucket[key]
            at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(found["time"]))
            entry = f"<Key>{escape(key)}</Key><LastModified>{at}</LastModified><ETag>{escape(found['etag'])}</ETag><Size>{len(found['body'])}</Size>"
            entries.append(f"<Contents>{entry}<StorageClass>STANDARD</StorageClass></Contents>")
        more = f"<NextContinuationToken>{escape(keys[limit - 1])}</NextContinuationToken>" if len(keys) > limit else ""
        head = f"<Name>{escape(name)}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(entries)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        return xml("ListBucketResult", f"{head}<IsTruncated>{str(len(keys) > limit).lower()}</IsTruncated>{more}{''.join(entries)}")
