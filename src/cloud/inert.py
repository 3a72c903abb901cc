"""Deploys resources of types that ministack does not know, as ones without any effect, and says so by name.

It would refuse the whole template. What an app does with its functions seldom depends on such a resource: dashboards, firewalls,
alarms, budgets. The responses of routes and of integrations are another matter, which their API has.
"""

import json
import re

import notices

# What is replaced or used here, by module.
USES = {
    "ministack.services.apigateway": [
        "_create_integration_response",
        "_create_route_response",
        "_delete_integration_response",
        "_delete_route_response",
        "_invoke_ws_lambda",
        "_update_integration_response",
        "_update_route_response",
    ],
    "ministack.services.cloudformation.changesets": ["validate_template_support"],
    "ministack.services.cloudformation.engine": ["validate_template_support"],
    "ministack.services.cloudformation.handlers": ["validate_template_support"],
    "ministack.services.cloudformation.provisioners": ["_RESOURCE_HANDLERS", "_physical_name"],
}

# AWS's own are `AWS::Service::Type`. Those of CloudFormation itself do something to the template.
_TYPE = re.compile(r"(AWS::(?!CloudFormation::)[A-Za-z0-9]+::[A-Za-z0-9]+|Alexa::ASK::Skill)")


class Attributes(dict):
    """What `Fn::GetAtt` finds of a resource without any effect: something under every name."""

    def __init__(self, resource_type, physical_id):
        super().__init__(Id=physical_id, Arn=f"arn:aws:{resource_type.split('::')[1].lower()}:::{physical_id}")
        self._physical_id = physical_id

    def __contains__(self, name):
        return True

    def __missing__(self, name):
        return self["Arn"] if name.endswith("Arn") else f"{self._physical_id}-{name}"

    def __reduce__(self):
        return (_attributes, (dict(self), self._physical_id))


def _attributes(known, physical_id):
    made = Attributes("AWS::a::b", physical_id)
    made.update(known)
    return made


def apply():
    """Has every template that is looked at make the types known that it needs."""
    from ministack.services.cloudformation import changesets, engine, handlers, provisioners

    known = provisioners._RESOURCE_HANDLERS
    known["AWS::ApiGatewayV2::IntegrationResponse"] = _integration_responses()
    known["AWS::ApiGatewayV2::RouteResponse"] = _route_responses()
    validate = engine.validate_template_support

    def validate_template_support(template, *arguments, **named):
        resources = template.get("Resources") if isinstance(template, dict) else None
        for resource in (resources if isinstance(resources, dict) else {}).values():
            wanted = resource.get("Type") if isinstance(resource, dict) else None
            if isinstance(wanted, str) and wanted not in known and _TYPE.fullmatch(wanted):
                known[wanted] = _inert(wanted, provisioners)
        return validate(template, *arguments, **named)

    for module in (engine, changesets, handlers):
        module.validate_template_support = validate_template_support


def _inert(resource_type, provisioners):
    def create(logical_id, props, stack_name):
        notices.tell(f"the local cloud has no `{resource_type}`: `{logical_id}` is deployed without any effect")
        physical_id = provisioners._physical_name(stack_name, logical_id, max_len=64)
        return physical_id, Attributes(resource_type, physical_id)

    def update(physical_id, old_props, new_props, stack_name):
        return physical_id, Attributes(resource_type, physical_id)

    def delete(physical_id, props):
        pass

    return {"create": create, "update": update, "delete": delete}


def _integration_responses():
    """By the API's own operations, which ministack has."""
    from ministack.services import apigateway

    names = ("ContentHandlingStrategy", "IntegrationResponseKey", "ResponseParameters", "ResponseTemplates", "TemplateSelectionExpression")
    operations = (
        apigateway._create_integration_response,
        apigateway._update_integration_response,
        apigateway._delete_integration_response,
    )
    return _responses("IntegrationId", names, "integrationResponseId", *operations)


def _route_responses():
    """The same, but that as on AWS a message is answered only when its route has a response."""
    from ministack.services import apigateway

    names = ("ModelSelectionExpression", "ResponseModels", "ResponseParameters", "RouteResponseKey")
    operations = (apigateway._create_route_response, apigateway._update_route_response, apigateway._delete_route_response)
    invoke = apigateway._invoke_ws_lambda

    async def invoke_ws_lambda(api, account, region, route, stage, connection, event_type, *rest, **named):
        answer = await invoke(api, account, region, route, stage, connection, event_type, *rest, **named)
        is_answered = event_type != "MESSAGE" or route.get("routeResponseSelectionExpression")
        return answer if is_answered or not isinstance(answer, dict) else {**answer, "body": None}

    apigateway._invoke_ws_lambda = invoke_ws_lambda
    return _responses("RouteId", names, "routeResponseId", *operations)


def _responses(of, names, number, create_one, update_one, delete_one):
    def wanted(props):
        return {name[0].lower() + name[1:]: props[name] for name in names if name in props}

    def place(props):
        # `Ref` of a route has the API in front.
        return props["ApiId"], props[of].rpartition("/")[2]

    def attributes(physical_id):
        return {number[0].upper() + number[1:]: physical_id}

    def create(logical_id, props, stack_name):
        status, _, body = create_one(*place(props), wanted(props))
        if status >= 400:
            raise ValueError(body)
        made = json.loads(body)[number]
        return made, attributes(made)

    def update(physical_id, old_props, new_props, stack_name):
        update_one(*place(new_props), physical_id, wanted(new_props))
        return physical_id, attributes(physical_id)

    def delete(physical_id, props):
        delete_one(*place(props), physical_id)

    return {"create": create, "update": update, "delete": delete}
