"""Lets a function behind an API answer with a number or a boolean as its body.

API Gateway reads the body as a text and takes such a value for one, which much code relies on, e.g. counters that answer
`{ statusCode: 200, body: count }`. ministack fails over it, with nothing in its answer.
"""

import json

# What is replaced or used here, by module.
USES = {"ministack.services.lambda_svc": ["lambda_execute_result_to_api_proxy_response"]}


def apply():
    """Makes a text of it, for both kinds of APIs."""
    from ministack.services import lambda_svc

    original = lambda_svc.lambda_execute_result_to_api_proxy_response

    def lambda_execute_result_to_api_proxy_response(result):
        answer, failure = original(result)
        if isinstance(answer, dict) and isinstance(answer.get("body"), (bool, int, float)):
            answer = {**answer, "body": json.dumps(answer["body"])}
        return answer, failure

    lambda_svc.lambda_execute_result_to_api_proxy_response = lambda_execute_result_to_api_proxy_response
