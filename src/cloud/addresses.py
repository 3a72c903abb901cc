"""Gives functions addresses in their variables that lead here, where a template has those of AWS.

`https://{api}.execute-api.{region}.amazonaws.com` is put together by the template itself, and the host of a function URL, of AppSync or of
a distribution is what AWS would give it, so none leads here. The outputs are translated where they are shown.
"""

import os
import re

# What is replaced or used here, by module.
USES = {
    "ministack.services.apigateway": ["_apis"],
    "ministack.services.apigateway_v1": ["_rest_apis"],
    "ministack.services.appsync": ["_apis"],
    "ministack.services.cloudformation.provisioners": ["_RESOURCE_HANDLERS"],
    "ministack.services.cloudfront": ["find_distribution_for_label"],
    "ministack.services.lambda_svc": ["resolve_function_url"],
}

_ADDRESS = re.compile(
    r"(?P<scheme>https?|wss?)://(?P<id>[a-z0-9]+)\."
    r"(?:(?P<kind>execute-api|lambda-url|appsync-api)\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)|cloudfront\.net)"
    r"(?P<path>(?:/[^\s\"'`<>\\]*)?)(?![\w.:-])"
)


def local(text):
    """The same text with addresses of this cloud's own APIs as they are here. Those of others, which an app may call as well, stay."""
    return _ADDRESS.sub(_translated, text)


def _translated(found):
    kind, path = found["kind"] or "cloudfront", found["path"]
    if not _is_here(kind, found["id"]):
        return found[0]
    port = os.environ["GATEWAY_PORT"]
    if kind == "cloudfront":
        return f"http://{found['id']}.cloudfront.localhost:{port}{path}"
    here = ("ws" if found["scheme"].startswith("ws") else "http") + f"://127.0.0.1:{port}"
    if kind == "lambda-url":
        return f"{here}/_aws/lambda-url/{found['id']}{path or '/'}"
    if kind == "appsync-api":
        return f"{here}/v1/apis/{found['id']}{path}"
    # What is at the root has the stage without a name.
    stage = path if path.strip("/") else "/$default" + path
    return f"{here}/_aws/execute-api/{found['id']}{stage}"


def _is_here(kind, name):
    from ministack.services import apigateway, apigateway_v1, appsync, cloudfront, lambda_svc

    if kind == "cloudfront":
        return cloudfront.find_distribution_for_label(name) is not None
    if kind == "lambda-url":
        return lambda_svc.resolve_function_url(name) is not None
    stores = [appsync._apis] if kind == "appsync-api" else [apigateway._apis, apigateway_v1._rest_apis]
    return any(name == key for store in stores for (_, _, key), _ in store.all_items())


def apply():
    """Translates the variables of each function that a template has, and first has APIs called as on AWS."""
    from ministack.services.cloudformation import provisioners

    _name_apis(provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"])
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create, update = handlers["create"], handlers["update"]

    def creating(logical_id, props, *rest, **named):
        return create(logical_id, _with_local(props), *rest, **named)

    def updating(physical_id, old_props, new_props, *rest, **named):
        return update(physical_id, _with_local(old_props), _with_local(new_props), *rest, **named)

    handlers.update(create=creating, update=updating)


def _name_apis(handlers):
    """Gives the attribute with the address of an API the name that it has on AWS.

    ministack's ends in a number, which neither browsers nor Node take for a host, and a WebSocket API's begins with `http`.
    """
    from ministack.core.responses import get_region
    from ministack.services import apigateway

    def named(original):
        def handler(*arguments, **named_arguments):
            api, attributes = original(*arguments, **named_arguments)
            is_websocket = (apigateway._apis.get(api) or {}).get("protocolType") == "WEBSOCKET"
            endpoint = f"{'wss' if is_websocket else 'https'}://{api}.execute-api.{get_region()}.amazonaws.com"
            return api, {**attributes, "ApiEndpoint": endpoint}

        return handler

    for name in ("create", "update"):
        handlers[name] = named(handlers[name])


def _with_local(props):
    environment = (props or {}).get("Environment")
    variables = environment.get("Variables") if isinstance(environment, dict) else None
    if not isinstance(variables, dict):
        return props
    variables = {name: local(value) if isinstance(value, str) else value for name, value in variables.items()}
    return {**props, "Environment": {**environment, "Variables": variables}}
