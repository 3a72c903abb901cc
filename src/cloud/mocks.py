"""Answers messages as the mocks of a WebSocket API say, as they were deployed. ministack gives a template as it is written."""

import json
import re

# What is replaced or used here, by module.
USES = {
    "ministack.services.apigateway": ["_integration_responses", "_integrations", "_invoke_ws_lambda", "_ws_request_context"],
    "ministack.services.apigateway_v1": ["_render_request_template_v1"],
}

# A template that the expression of the response does not select, because ministack may not know the expression.
_USUAL = ("$default", "application/json")


def apply():
    """Has mocks evaluated, and all else done as before."""
    from ministack.services import apigateway
    from ministack.services.apigateway_v1 import _render_request_template_v1 as render

    invoke = apigateway._invoke_ws_lambda

    async def invoke_ws_lambda(api, account, region, route, stage, connection, event_type, message, body, address, headers, *rest, **named):
        number = route.get("target", "").rpartition("/")[2]
        integration = apigateway._integrations.get(api, {}).get(number) or {}
        if integration.get("integrationType") != "MOCK":
            arguments = (api, account, region, route, stage, connection, event_type, message, body, address, headers)
            return await invoke(*arguments, *rest, **named)
        context = apigateway._ws_request_context(api, route.get("routeKey"), stage, connection, event_type, message, address, headers)
        context["authorizer"] = named.get("authorizer") or {}
        context["messageId"] = message
        status = _status(render(_chosen(integration.get("requestTemplates"), None), body or "", {}, context))
        responses = list(apigateway._integration_responses.get(api, {}).get(number, {}).values())
        response = _response(responses, status)
        if status is None or response is None:
            trouble = {"message": "Internal server error", "connectionId": connection, "requestId": message}
            return {"statusCode": 500, "body": json.dumps(trouble)}
        template = _chosen(response.get("responseTemplates"), response.get("templateSelectionExpression"))
        return {"statusCode": status, "body": render(template, body or "", {}, context)}

    apigateway._invoke_ws_lambda = invoke_ws_lambda


def _chosen(templates, expression):
    """The template that is meant: by its key, or because there is no other."""
    templates = templates or {}
    keys = [(expression or "").removeprefix("\\"), *_USUAL]
    return next((templates[key] for key in keys if key in templates), None) or next(iter(templates.values()), "")


def _status(text):
    """What a request template says; none when that is no status, as on AWS."""
    found = re.search(r'"?statusCode"?\s*:\s*(\d{3})\b', text)
    return int(found.group(1)) if found else None


def _response(responses, status):
    """The integration response for a status: one by its expression, or the one for everything else."""
    keyed = [(response.get("integrationResponseKey") or "", response) for response in responses]
    for key, response in keyed:
        if len(key) > 2 and key[0] == key[-1] == "/" and re.fullmatch(key[1:-1], str(status)):
            return response
    return next((response for key, response in keyed if key == "$default"), None)
