"""Answers what clients and stubs ask of the debug stack itself, as its control function would.

ministack runs the function of a WebSocket route in one process only, and waits after each call for what that may still write. A stub
asks twice when it connects, so stubs that all start at once would wait for one another, longer than their own functions may run.
"""

import json
import time

# What is replaced or used here, by module.
USES = {
    "ministack.services.apigateway": ["_extract_lambda_ref_from_integration_uri", "_integrations", "_invoke_ws_lambda"],
    "ministack.services.lambda_svc": ["_get_func_record_for_ref_in_scope"],
}

# The description of that function in the template.
_DESCRIPTION = "Answers the hello of sst clients and stubs."


def apply():
    """Has no process asked. Who may connect has been decided before."""
    from ministack.services import apigateway, lambda_svc

    invoke = apigateway._invoke_ws_lambda

    def is_control(api, account, region, route):
        integration = apigateway._integrations.get(api, {}).get(route.get("target", "").rpartition("/")[2]) or {}
        if not integration.get("integrationUri"):
            return False
        reference = apigateway._extract_lambda_ref_from_integration_uri(integration["integrationUri"])
        _, config, _ = lambda_svc._get_func_record_for_ref_in_scope(reference, account_id=account, region=region)
        return (config or {}).get("Description") == _DESCRIPTION

    async def invoke_ws_lambda(api, account, region, route, stage, connection, *rest, **named):
        if not is_control(api, account, region, route):
            return await invoke(api, account, region, route, stage, connection, *rest, **named)
        return {"statusCode": 200, "body": json.dumps({"connectionId": connection, "now": int(time.time() * 1000)})}

    apigateway._invoke_ws_lambda = invoke_ws_lambda
