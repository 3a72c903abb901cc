"""Lets an HTTP API of a template answer for the origins that the template names."""

# What is replaced or used here, by module.
USES = {
    "ministack.services.apigateway": ["_apis"],
    "ministack.services.cloudformation.provisioners": ["_RESOURCE_HANDLERS"],
}


def apply():
    """Gives the names in a `CorsConfiguration` the case that the API itself has them in.

    In a template it is `AllowOrigins`, in a request of API Gateway `allowOrigins`. ministack keeps the former and looks for the latter,
    so that every preflight is refused.
    """
    from ministack.services import apigateway
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]

    def corrected(original):
        def handler(*arguments, **named):
            result = original(*arguments, **named)
            api = apigateway._apis.get(result[0]) or {}
            if configuration := api.get("corsConfiguration"):
                api["corsConfiguration"] = {name[:1].lower() + name[1:]: value for name, value in configuration.items()}
            return result

        return handler

    for name in ("create", "update"):
        handlers[name] = corrected(handlers[name])
