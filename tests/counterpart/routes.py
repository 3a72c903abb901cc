"""The routes of a WebSocket API, and what answers at them, exactly as it was deployed.

An integration of type MOCK is evaluated step by step, in the order in which API Gateway documents it: a request template gives a status, the
status selects an integration response, whose template gives what is said, if the route has a response. Whatever is missing on the way, or is
written otherwise than documented, is a mistake: API Gateway then says `Internal server error`, and the record says why. Of templates
only the variables of
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html are known.
"""

import json
import re

# The control function's answer is made here; it is run nowhere. Its code is looked for, so that nothing else is taken for it.
CONTROL = "connectionId: event.requestContext.connectionId, now: Date.now()"

REFERENCE = re.compile(r"\$(?:\{context\.(\w+)\}|context\.(\w+))")


class Misconfigured(Exception):
    """A route that cannot be answered as it is deployed."""


class Api:
    """What an API consists of, by ids: `integrations`, `integration_responses`, `routes`, `route_responses`, with their properties."""

    def __init__(self):
        self.stages = set()
        self.integrations, self.integration_responses, self.routes, self.route_responses = {}, {}, {}, {}

    def route(self, key):
        """The id and the properties of a route, if there is one."""
        return next(((number, one) for number, one in self.routes.items() if one["RouteKey"] == key), (None, None))

    def answers(self, route_id):
        """Whether what comes of a route is said to the client."""
        if self.routes[route_id].get("RouteResponseSelectionExpression", "$default") != "$default":
            raise Misconfigured("only $default is known as an expression for the response of a route")
        return any(one["RouteId"] == route_id for one in self.route_responses.values())

    def integration(self, route):
        """The id and the properties of what answers at a route."""
        number = route.get("Target", "").removeprefix("integrations/")
        if number not in self.integrations:
            raise Misconfigured(f"the route {route['RouteKey']} has no integration {number}")
        return number, self.integrations[number]


def mock(api, number, integration, context, body):
    """The status and the text that a mock gives."""
    given = template("request", integration.get("TemplateSelectionExpression"), integration.get("RequestTemplates"), body)
    try:
        status = json.loads(rendered(given, context))["statusCode"]
    except (ValueError, TypeError, KeyError) as error:
        raise Misconfigured("statusCode should be an integer which defined in request template") from error
    if type(status) is not int:
        raise Misconfigured("statusCode should be an integer which defined in request template")
    response = selected([one for one in api.integration_responses.values() if one["IntegrationId"] == number], status)
    text = rendered(template("response", response.get("TemplateSelectionExpression"), response.get("ResponseTemplates"), body), context)
    return status, text


def selected(responses, status):
    """The integration response for a status. A key is `/an expression/`, or `$default` for what no other is for."""
    for response in responses:
        key = response["IntegrationResponseKey"]
        if len(key) > 2 and key.startswith("/") and key.endswith("/") and re.fullmatch(key[1:-1], str(status)):
            return response
    for response in responses:
        if response["IntegrationResponseKey"] == "$default":
            return response
    raise Misconfigured("No match for output mapping and no default endpoint response configured")


def template(kind, expression, templates, body):
    """The template that an expression selects: a text that stands for itself, `\\$default`, or something of the message."""
    key = expression
    if expression is None:
        key = "$default"
    elif expression.startswith("\\$"):
        key = expression[1:]
    elif match := re.fullmatch(r"\$(?:\{request\.body\.(\w+)\}|request\.body\.(\w+))", expression):
        key = str((body if isinstance(body, dict) else {}).get(match.group(1) or match.group(2)))
    elif "$" in expression:
        raise Misconfigured(f"an expression that is not known: {expression}")
    if key not in (templates or {}):
        raise Misconfigured(f"there is no {kind} template {key}")
    return templates[key]


def rendered(text, context):
    """A template with what its variables are."""

    def value(match):
        name = match.group(1) or match.group(2)
        if name not in context:
            raise Misconfigured(f"$context.{name} is none of this request's variables")
        return str(context[name])

    rest = REFERENCE.sub("", text)
    if "$" in rest or "#" in rest:
        raise Misconfigured(f"a template with what the counterpart does not know: {text}")
    return REFERENCE.sub(value, text)
