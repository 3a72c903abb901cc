"""Gives functions behind APIs and URLs the events that AWS documents for them.

See "AWS Lambda proxy integrations for HTTP APIs", "Lambda proxy integrations in API Gateway" (REST APIs), "Invoking Lambda function URLs",
and "WebSocket mapping template reference". What ministack leaves out or has otherwise is said where it is mended.
"""

import contextvars
import secrets
import time
from dataclasses import dataclass

import secure

# What is replaced or used here, by module.
USES = {
    "ministack.app": ["app"],
    "ministack.services.apigateway": [
        "_HOST",
        "_get_stage_variables",
        "_invoke_lambda_proxy",
        "_ws_connections",
        "_ws_request_context",
        "run_reentrant",
    ],
    "ministack.services.apigateway_v1": ["_build_lambda_event_v1"],
    "ministack.services.lambda_svc": ["_build_function_url_event", "lambda_execute_result_to_api_proxy_response"],
}

# What the identity of a caller has in it, if there is one.
_IDENTITY = (
    "accessKey",
    "accountId",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "principalOrgId",
    "user",
    "userArn",
)


@dataclass
class Sent:
    """A request's head as it was sent."""

    headers: list
    query: str
    port: int
    scheme: str

    def joined(self):
        """By lower-case names, the values of one name joined with commas."""
        joined = {}
        for name, value in self.headers:
            joined[name.lower()] = f"{joined[name.lower()]},{value}" if name.lower() in joined else value
        return joined

    def by_name(self):
        """All values of each name, which is as it was sent first."""
        names, found = {}, {}
        for name, value in self.headers:
            found.setdefault(names.setdefault(name.lower(), name), []).append(value)
        return found


@dataclass
class Call:
    """A call of a function for a route of an HTTP API."""

    integration: dict
    api: str
    stage: str
    path: str
    query: dict
    route: str


_sent = contextvars.ContextVar("sent", default=None)
_call = contextvars.ContextVar("call", default=None)


def apply():
    """Replaces what makes events, and has the head of each request at hand for that."""
    from ministack import app as cloud
    from ministack.services import apigateway, apigateway_v1, lambda_svc

    serve = cloud.app

    async def remembered(scope, receive, send):
        if scope["type"] in ("http", "websocket"):
            headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
            scope = {**scope, "headers": [(name.lower(), value) for name, value in headers]}
            _sent.set(_read(scope, headers))
        await serve(scope, receive, send)

    cloud.app = remembered
    _apply_http(apigateway, lambda_svc)
    build_v1 = apigateway_v1._build_lambda_event_v1

    def build_lambda_event_v1(api, stage_name, *arguments, **named):
        event = build_v1(api, stage_name, *arguments, **named)
        # It tells an HTTP API's event from a REST API's, which has none.
        del event["version"]
        _as_v1(event, arguments[6] if len(arguments) > 6 else named.get("query_params"))
        return event

    apigateway_v1._build_lambda_event_v1 = build_lambda_event_v1
    build_url = lambda_svc._build_function_url_event

    def build_function_url_event(*arguments, **named):
        event = build_url(*arguments, **named)
        if sent := _sent.get():
            event["rawQueryString"] = sent.query
        _with_cookies(event)
        return event

    lambda_svc._build_function_url_event = build_function_url_event
    context = apigateway._ws_request_context

    def ws_request_context(api, route, stage, connection, event_type, *rest):
        secure.remember(connection, api)
        made = context(api, route, stage, connection, event_type, *rest)
        record = apigateway._ws_connections.get(connection)
        if record:
            made["connectedAt"] = record["connectedAt"] * 1000
        made.update(domainName=secure.authority(), messageDirection="IN", requestTime=_utc(made["requestTimeEpoch"]))
        return made

    apigateway._ws_request_context = ws_request_context


def _apply_http(apigateway, lambda_svc):
    invoke, run = apigateway._invoke_lambda_proxy, apigateway.run_reentrant

    async def invoke_lambda_proxy(integration, api, stage, path, method, headers, body, query, route="$default", *rest, **named):
        token = _call.set(Call(integration, api, stage, path, query or {}, route))
        try:
            return await invoke(integration, api, stage, path, method, headers, body, query, route, *rest, **named)
        finally:
            _call.reset(token)

    async def run_reentrant(function, *arguments, **named):
        call = _call.get()
        for event in arguments:
            # That of an authorizer as well.
            if isinstance(event, dict) and isinstance(event.get("requestContext"), dict):
                _named(event["requestContext"], apigateway)
        if call is None or function is not lambda_svc._execute_function_with_config_scope:
            return await run(function, *arguments, **named)
        record, event = arguments
        is_old = call.integration.get("payloadFormatVersion") == "1.0"
        variables = apigateway._get_stage_variables(call.api, call.stage)
        event = _from_v2(event, call, variables) if is_old else _as_v2(event, call, variables)
        result = await run(function, record, event, **named)
        return _with_several_values(result, lambda_svc) if is_old else result

    apigateway._invoke_lambda_proxy = invoke_lambda_proxy
    apigateway.run_reentrant = run_reentrant


def _read(scope, headers):
    texts = [(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in headers]
    is_secure = scope.get("scheme") in ("https", "wss")
    port = (scope.get("server") or (None, 0))[1] or 0
    query = scope.get("query_string", b"").decode("utf-8", "replace")
    return Sent(texts, query, port, "https" if is_secure else "http")


def _named(context, apigateway):
    """The name that the API has on AWS. ministack's ends in a number, which is a name that no parser of URLs takes."""
    from ministack.core.responses import get_region

    suffix = f".execute-api.{apigateway._HOST}"
    if str(context.get("domainName", "")).endswith(suffix):
        api = context["domainName"][: -len(suffix)]
        context.update(domainName=f"{api}.execute-api.{get_region()}.amazonaws.com", domainPrefix=api)


def _utc(milliseconds):
    """ministack writes local time and calls it UTC."""
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(milliseconds / 1000))


def _forwarded(headers):
    """What AWS tells of a request's way, unless it came with it."""
    sent = _sent.get()
    added = {
        "X-Amzn-Trace-Id": f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Port": str(sent.port if sent else 0),
        "X-Forwarded-Proto": sent.scheme if sent else "http",
    }
    known = {name.lower() for name in headers}
    return {name: value for name, value in added.items() if name.lower() not in known}


def _with_cookies(event):
    """Cookies have a list of their own in format 2.0."""
    cookies = event["headers"].pop("cookie", None)
    if cookies:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";") if cookie.strip()]


def _staged(path, stage):
    """Paths have the stage in them, unless it is the one without a name."""
    return path if stage == "$default" else f"/{stage}{path}"


def _as_v2(event, call, variables):
    """Mends an event of an HTTP API."""
    if sent := _sent.get():
        cookies = "; ".join(value for name, value in sent.headers if name.lower() == "cookie")
        event["headers"] = {**sent.joined(), **({"cookie": cookies} if cookies else {})}
    event["headers"].update((name.lower(), value) for name, value in _forwarded(event["headers"]).items())
    _with_cookies(event)
    context = event["requestContext"]
    event["rawPath"] = context["http"]["path"] = _staged(call.path, call.stage)
    context["time"] = _utc(context["timeEpoch"])
    if variables:
        event["stageVariables"] = variables
    if not event.get("pathParameters"):
        event.pop("pathParameters", None)
    return event


def _from_v2(event, call, variables):
    """The same event in format 1.0, which ministack does not have for HTTP APIs."""
    old = event["requestContext"]
    path = _staged(call.path, call.stage)
    resource = call.route.partition(" ")[2] or call.route
    context = {name: old[name] for name in ("accountId", "apiId", "requestId", "stage", "authorizer") if name in old}
    context.update(
        domainName=old["domainName"],
        extendedRequestId=old["requestId"],
        httpMethod=old["http"]["method"],
        identity={"sourceIp": old["http"]["sourceIp"], "userAgent": old["http"]["userAgent"]},
        path=path,
        protocol=old["http"]["protocol"],
        requestTimeEpoch=old["timeEpoch"],
        resourceId=None,
        resourcePath=resource,
    )
    if "jwt" in context.get("authorizer", {}):
        context["authorizer"] = context["authorizer"]["jwt"]
    event = {
        "version": "1.0",
        "resource": resource,
        "path": path,
        "httpMethod": old["http"]["method"],
        "headers": event["headers"],
        "requestContext": context,
        "pathParameters": event.get("pathParameters") or None,
        "stageVariables": variables or None,
        "body": event.get("body"),
        "isBase64Encoded": event["isBase64Encoded"],
    }
    _as_v1(event, call.query)
    return event


def _as_v1(event, query):
    """Mends an event in format 1.0: all values of headers and parameters, and of each the last."""
    sent = _sent.get()
    headers = sent.by_name() if sent else {name: [value] for name, value in event["headers"].items()}
    headers.update((name, [value]) for name, value in _forwarded(headers).items())
    event["multiValueHeaders"] = headers
    event["headers"] = {name: values[-1] for name, values in headers.items()}
    event["multiValueQueryStringParameters"] = {name: list(values) for name, values in (query or {}).items()} or None
    event["queryStringParameters"] = {name: values[-1] for name, values in (query or {}).items()} or None
    context = event["requestContext"]
    from ministack.core.responses import get_region

    context.update(domainName=f"{context['apiId']}.execute-api.{get_region()}.amazonaws.com", domainPrefix=context["apiId"])
    context["requestTime"] = _utc(context["requestTimeEpoch"])
    context["identity"] = {**dict.fromkeys(_IDENTITY), **context["identity"]}


def _with_several_values(result, lambda_svc):
    """Has an answer in format 1.0 keep all values of a header."""
    answer, _ = lambda_svc.lambda_execute_result_to_api_proxy_response(result)
    several = (answer or {}).get("multiValueHeaders") or {}
    if result.get("error") or not several:
        return result
    headers, cookies = dict(answer.get("headers") or {}), []
    for name, values in several.items():
        for former in [one for one in headers if one.lower() == name.lower()]:
            former = headers.pop(former)
            values = values if former in values else [former, *values]
        if name.lower() == "set-cookie":
            cookies.extend(values)
        else:
            headers[name] = ", ".join(map(str, values))
    return {**result, "body": {**answer, "headers": headers, **({"cookies": cookies} if cookies else {})}}
