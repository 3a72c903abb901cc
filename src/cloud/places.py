"""Which part of the local cloud a request reaches: as ministack decides it, in the same order."""

from dataclasses import dataclass
from urllib.parse import parse_qs

import pages

# What is used here, by module.
USES = {
    "ministack.app": [
        "_APPSYNC_GRAPHQL_RE",
        "_APPSYNC_REALTIME_RE",
        "_AOSS_COLLECTION_HOST_RE",
        "_COGNITO_USERINFO_PATHS",
        "_HEALTH_PATHS",
        "_IOT_DATA_WS_RE",
        "_NON_S3_VHOST_NAMES",
        "_RDS_DATA_PATHS",
        "_S3_CONTROL_PREFIX",
        "_S3_VHOST_EXCLUDE_RE",
        "_SES_V2_PREFIX",
        "_extract_s3_vhost_bucket",
        "_get_module",
        "_is_ecr_registry_path",
        "_is_potential_alb_request",
        "_parse_cloudfront_dataplane_host",
        "_parse_execute_api_url",
        "_parse_lambda_url",
        "_resolve_custom_domain_request",
        "detect_service",
    ],
    "ministack.services.alb": ["_find_lb_by_name", "find_lb_for_host"],
    "ministack.services.apigateway": ["_api_owner", "_routes"],
    "ministack.services.cloudfront": ["find_distribution_for_label"],
    "ministack.services.cognito": ["_get_pool_unscoped"],
    "ministack.services.lambda_svc": ["resolve_function_url"],
}

# What ministack serves under paths of its own that need no signature. Most are links that it hands out itself; those that are for
# answers have a secret in them.
_INTERNAL = (
    "/_ministack/cfn-response/",
    "/_ministack/cfn-signal/",
    "/_ministack/eks-auth/",
    "/_ministack/elasticache/ca.pem",
    "/_ministack/iot/ca.pem",
    "/_ministack/lambda-code/",
    "/_ministack/lambda-layers/",
    "/_ministack/rds/",
    "/_ministack/ready",
)

# Cognito's pages and what clients of OpenID Connect ask for.
_SIGN_IN = {"GET": ("/oauth2/authorize", "/logout"), "POST": ("/oauth2/login", "/login", "/oauth2/token")}
_WELL_KNOWN = ("/.well-known/jwks.json", "/.well-known/openid-configuration")

# Paths below a bucket's own name that ministack takes for another service.
_NOT_IN_BUCKETS = ("/key-value-stores/", "/environments", "/webtoken/", "/clitoken/", "/restapi/", "/metrics/environments/")


class Request:
    """A request's head."""

    def __init__(self, scope):
        self._values = {}
        for name, value in scope.get("headers", []):
            self._values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        self.method = scope.get("method", "GET")
        self.path = scope.get("path", "")
        self.raw_path = (scope.get("raw_path") or self.path.encode()).decode("latin-1")
        self.raw_query = scope.get("query_string", b"").decode("utf-8", errors="replace")
        self.query = parse_qs(self.raw_query, keep_blank_values=True)
        self.headers = {name: ("; " if name == "cookie" else ", ").join(found) for name, found in self._values.items()}
        self.host = pages.name_of(pages.only(self.values("host")))
        self.is_page = pages.is_page(self.values)

    def values(self, name):
        return self._values.get(name.lower(), [])

    def header(self, name):
        return self.headers.get(name, "")

    @property
    def wanted_method(self):
        """The method of the request that this one asks for permission for, or its own."""
        return self.header("access-control-request-method") or self.method if self.method == "OPTIONS" else self.method


@dataclass
class Place:
    """Where a request leads."""

    # "public": a browser app's; "object": in S3; "registry": of images; "internal": ministack's own; else "control".
    kind: str
    # Whether something is there that has the request's `Host` as its name.
    is_named: bool = False
    bucket: str = ""
    key: str = ""
    # Whether the bucket is in the path, not in `Host`.
    is_path_style: bool = False


def find(request):
    """The place of an HTTP request."""
    from ministack import app as cloud

    host, path, method = request.header("host"), request.path, request.wanted_method
    name = request.host or ""
    module = cloud._get_module
    if path in cloud._HEALTH_PATHS or path.startswith(_INTERNAL):
        return Place("internal")
    if path.startswith(("/_ministack/", "/_localstack/")):
        return Place("control")
    if path in _SIGN_IN.get(method, ()) or (path in cloud._COGNITO_USERINFO_PATHS and method in ("GET", "POST")):
        return Place("public")
    if method == "GET" and path.endswith(_WELL_KNOWN):
        pool = path[: path.rindex("/.well-known/")].lstrip("/")
        if pool and module("cognito")._get_pool_unscoped(pool) is not None:
            return Place("public")
    if path == "/WriteGetObjectResponse" and request.header("x-amz-request-route"):
        return Place("control")
    if path in cloud._RDS_DATA_PATHS or path.startswith(("/iceberg", cloud._S3_CONTROL_PREFIX, cloud._SES_V2_PREFIX)):
        return Place("control")
    if cloud._is_ecr_registry_path(path):
        return Place("registry")
    label = cloud._parse_cloudfront_dataplane_host(host)
    if label is not None and module("cloudfront").find_distribution_for_label(label) is not None:
        return Place("public", is_named=True)
    if cloud._AOSS_COLLECTION_HOST_RE.match(host):
        return Place("control")
    if (api := cloud._parse_execute_api_url(host, path)) is not None:
        # Answers to clients of a WebSocket API are AWS's own to send, not the app's.
        return Place("control" if api[2].startswith("/@connections/") else "public")
    if cloud._resolve_custom_domain_request(host, path) is not None:
        return Place("public", is_named=True)
    if (url := cloud._parse_lambda_url(host, path)) is not None:
        return Place("public", is_named=_is_aws(name) and module("lambda_svc").resolve_function_url(url[0]) is not None)
    if bucket := _bucket_of_host(request):
        is_named = _is_aws(name) and module("s3")._bucket_owner_account(bucket) is not None
        return Place("object", is_named, bucket, path.lstrip("/"))
    if cloud._is_potential_alb_request(host, path):
        alb = module("alb")
        if alb.find_lb_for_host(host) is not None:
            return Place("public", is_named=True)
        if path.startswith("/_alb/") and alb._find_lb_by_name(path[len("/_alb/") :].split("/", 1)[0]):
            return Place("public")
    return _find_service(request, host, name)


def _find_service(request, host, name):
    from ministack import app as cloud

    method, path = request.wanted_method, request.path
    if method == "POST" and not request.header("x-amz-target"):
        if cloud._APPSYNC_GRAPHQL_RE.match(path):
            return Place("public")
        if path in ("/graphql", "/event") and ".appsync-api." in host:
            return Place("public", is_named=_is_aws(name))
    # What is sent as a form may name another service in its body.
    form = request.header("content-type").strip().lower().startswith("application/x-www-form-urlencoded")
    if not form and cloud.detect_service(method, path, request.headers, request.query) == "s3":
        bucket, _, key = path.lstrip("/").partition("/")
        if bucket:
            return Place("object", False, bucket, key, is_path_style=True)
    return Place("control")


def find_websocket(request):
    """The place of a WebSocket: "control" where IAM decides who may connect."""
    from ministack import app as cloud

    host, name = request.header("host"), request.host or ""
    if (api := cloud._parse_execute_api_url(host, request.path)) is not None:
        return Place("control" if _connects_by_iam(api[0]) else "public")
    if cloud._APPSYNC_REALTIME_RE.match(host):
        return Place("public", is_named=_is_aws(name))
    return Place("control", is_named=bool(cloud._IOT_DATA_WS_RE.search(host)) and _is_aws(name))


def _connects_by_iam(api):
    from ministack import app as cloud

    apigateway = cloud._get_module("apigateway")
    owner = apigateway._api_owner(api)
    routes = apigateway._routes.get_scoped(owner[1], owner[2], api, {}) if owner else {}
    connect = [route for route in routes.values() if route.get("routeKey") == "$connect"]
    return any((route.get("authorizationType") or "").upper() == "AWS_IAM" for route in connect)


def _is_aws(name):
    """Whether it is a name of AWS's own, which nobody else can have point here."""
    return name.endswith((".amazonaws.com", ".on.aws"))


def _bucket_of_host(request):
    """The bucket that `Host` names."""
    from ministack import app as cloud

    host, path = request.header("host"), request.path
    bucket = cloud._extract_s3_vhost_bucket(host)
    if not bucket or cloud._S3_VHOST_EXCLUDE_RE.search(host) or bucket in cloud._NON_S3_VHOST_NAMES:
        return None
    return None if path.startswith(_NOT_IN_BUCKETS) else bucket
