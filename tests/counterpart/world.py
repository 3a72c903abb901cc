"""The account: everything that the services share, and which service a request is for."""

import asyncio
import pathlib
import re

import cloudformation
import dynamodb
import events
import functions
import gateway
import iam
import query
import s3
import ssm
import sts
from record import Clock, Record
from settings import Faults, defaults
from signatures import Checker, Keys, Refused, scope_of
from web import Response, json_response

DEBUG_STACK = pathlib.Path(__file__).parents[2] / "infra/debug-stack.yaml"

# The services that speak the query protocol.
QUERY = {"sts": sts.NAMESPACE, "cloudformation": cloudformation.NAMESPACE, "iam": iam.NAMESPACE}

# The access keys that tests are given. Those of roles are made as they are needed.
DEVELOPER = ("developer", "ASIADEVELOPER0000001", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYDEVELOPER")
TESTS = ("tests", "ASIATESTS00000000001", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLETEST")


class World:
    """One account in one region."""

    def __init__(self, options):
        self.account = options.get("account", "123456789012")
        self.region = options.get("region", "eu-central-1")
        self.directory = options["directory"]
        self.rie = options.get("rie")
        self.settings = defaults()
        self.clock, self.record, self.faults, self.keys = Clock(), Record(), Faults(), Keys()
        self.checker = Checker(self.keys, self.region, self.clock, self.record)
        # The endpoint that functions see. It may be a proxy's, and theirs alone.
        self.function_endpoint = None
        # Every endpoint by which this server can be reached, so that one can be exchanged for another in what was deployed.
        self.endpoints = set()
        self.roles = {}
        # Each request of the developer's: the service, and the operation.
        self.asked = []
        # After how many of these nothing is done any more, and whether it has come to that.
        self.stop_after, self.stopped = None, asyncio.Event()
        for who, access_key, secret in (DEVELOPER, TESTS):
            token = "IQoJb3JpZ2luX2VjE//////////wEaCXVzLWVhc3QtMSJH" + who + "a/+=" * 300
            arn = f"arn:aws:sts::{self.account}:assumed-role/Developer/{who}"
            self.keys.add(who, access_key, secret, token, arn)
        self.gateway = gateway.Gateway(self)
        self.dynamodb = dynamodb.DynamoDb(self)
        self.s3 = s3.S3(self)
        self.functions = functions.Functions(self)
        self.cloudformation = cloudformation.CloudFormation(self)
        self.services = {
            "dynamodb": self.dynamodb, "s3": self.s3, "sts": sts.Sts(self), "ssm": ssm.Ssm(self),
            "cloudformation": self.cloudformation, "lambda": self.functions, "iam": iam.Iam(self), "events": events.Events(self),
        }

    async def create_debug_stack(self, parameters, replace):
        """What the debug stack consists of, made of its own template, or of one with mistakes, for tests that deploy nothing."""
        text = DEBUG_STACK.read_text()
        for wrong in replace:
            if wrong["text"] not in text:
                raise ValueError(f"the template has no {wrong['text']}")
            text = text.replace(wrong["text"], wrong["by"])
        outputs = await self.cloudformation.make("debug-stack", text, {"RequireTls": "false", **parameters})
        return {"api": outputs["ApiId"], "stage": outputs["ApiStage"], "table": outputs["Table"], "bucket": outputs["Bucket"]}

    def as_functions_see(self, text):
        """A text in which sst has written its own way to this server: functions have theirs."""
        for endpoint in self.endpoints:
            # A port may be the beginning of another one.
            for scheme in ("http", "ws"):
                way, theirs = (one.replace("http", scheme, 1) for one in (endpoint, self.function_endpoint))
                text = re.sub(re.escape(way) + r"(?!\d)", theirs, text)
        return text

    # ---- Requests ----

    async def handle(self, request):
        """Answers a request of a client of AWS."""
        scope = scope_of(request)
        service = scope[2] if scope else ("execute-api" if request.path.startswith("/_aws/") else "s3")
        facts = {"service": service, "operation": operation(request, service), "method": request.method}
        if scope and (known := self.keys.get(scope[0])):
            facts["who"] = known["who"]
        self.record.count(f"requests:{service}")
        if facts.get("who") == "developer":
            self.asked.append((service, facts["operation"]))
            if self.stop_after is not None and len(self.asked) > self.stop_after:
                # Whoever asks is about to end, and has asked for nothing any more.
                self.stopped.set()
                return await asyncio.Event().wait()
        rule = self.faults.take(facts)
        if rule and (response := await self.fault_before(rule, facts)):
            return response
        try:
            if service != "execute-api" and service not in self.services:
                raise Refused("scope", f"the counterpart has no service '{service}'")
            key = self.checker.check(request, service)
        except Refused as refused:
            return self._refusal(service, refused)
        if service == "execute-api":
            response = self.gateway.manage(request, key)
        else:
            response = self.services[service].handle(request, key)
            if asyncio.iscoroutine(response):
                response = await response
        if rule and rule.get("cut") == "after":
            # It was done, and nobody is told.
            response.cut = True
        if rule and rule.get("stall"):
            response.stall = True
        return response

    async def fault_before(self, rule, facts):
        """What a rule does before the request is looked at. A delay alone gives no answer."""
        self.record.add("fault", rule=rule["id"], **facts)
        if rule.get("delayMs"):
            await asyncio.sleep(rule["delayMs"] / 1000)
        if rule.get("cut") == "before":
            response = Response(500)
            response.cut = True
            return response
        if rule.get("status") or rule.get("error"):
            return self._error(facts["service"], rule.get("status"), rule.get("error", "InternalError"), rule.get("message", "as the test wants it"), rule.get("headers"))
        return None

    def _error(self, service, status, kind, message, headers=None):
        if service in ("dynamodb", "ssm"):
            response = (dynamodb if service == "dynamodb" else ssm).failure(kind, message, status or 400)
        elif service == "s3":
            response = s3.failure(status or 403, kind, message)
        elif service in QUERY:
            response = query.failure(QUERY[service], kind, message, status or 400)
        elif service == "events":
            response = events.failure(kind, message, status or 400)
        else:
            response = json_response(status or 400, {"message": message}, {"x-amzn-errortype": kind})
        response.headers.update(headers or {})
        return response

    def _refusal(self, service, refused):
        """Each service refuses a signature in its own words."""
        if service == "execute-api":
            return self.gateway.refusal(refused)
        if service == "s3":
            kinds = {
                "unknown": "InvalidAccessKeyId", "expired": "ExpiredToken", "time": "RequestTimeTooSkewed", "mismatch": "SignatureDoesNotMatch",
                "content": "XAmzContentSHA256Mismatch", "scope": "AuthorizationHeaderMalformed", "unsigned": "AccessDenied",
            }
            return s3.failure(403, kinds.get(refused.fault, "AccessDenied"), refused.message)
        if service in QUERY:
            kinds = {"unknown": "InvalidClientTokenId", "expired": "ExpiredToken", "incomplete": "IncompleteSignature", "unauthenticated": "MissingAuthenticationToken"}
            return self._error(service, 403, kinds.get(refused.fault, "SignatureDoesNotMatch"), refused.message)
        kinds = {
            "unknown": "UnrecognizedClientException", "expired": "ExpiredTokenException", "incomplete": "IncompleteSignatureException",
            "unauthenticated": "MissingAuthenticationTokenException",
        }
        status = 400 if service in ("dynamodb", "ssm", "events") else 403
        return self._error(service, status, kinds.get(refused.fault, "InvalidSignatureException"), refused.message)


def operation(request, service):
    """The name by which a test's rule knows a request."""
    if service in ("dynamodb", "ssm", "events"):
        return request.headers.get("x-amz-target", "").rpartition(".")[2]
    if service in QUERY:
        return query.parameters(request).get("Action", "")
    if service == "execute-api":
        return {"POST": "PostToConnection", "GET": "GetConnection", "DELETE": "DeleteConnection"}.get(request.method, request.method)
    if service == "s3":
        return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(request.method, request.method)
    return functions.operation(request)


