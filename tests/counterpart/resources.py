"""The types of resources that CloudFormation makes here: how each is made, changed and removed, and what it is known by."""

import json
import secrets
import string

# Quotas of IAM: managed policies of a role, and the characters of a managed policy, and of all inline policies of a role.
MOST_MANAGED, LONGEST_MANAGED, LONGEST_INLINE = 10, 6_144, 10_240


class Failed(Exception):
    """A resource that could not be made, changed or removed."""


def suffix(length=12):
    """What CloudFormation puts behind the names that it makes up."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


class Resource:
    """A resource of a stack. Types that nobody asks anything of are this and nothing more."""

    attributes = {}

    def __init__(self, world, stack, logical, properties):
        self.world, self.stack, self.logical, self.properties = world, stack, logical, properties
        self.physical = self.name()
        self.create()

    def name(self):
        """The physical id."""
        return f"{self.stack}-{self.logical}-{suffix()}"

    def create(self):
        """Makes it."""

    def update(self, properties):
        """Changes it."""
        self.properties = properties

    def delete(self):
        """Removes it."""

    def attribute(self, name):
        """What `Fn::GetAtt` gives."""
        if name not in self.attributes:
            raise Failed(f"Template error: the counterpart knows no attribute {name} of {self.logical}")
        return self.attributes[name](self)

    def own_name(self, key, length=64):
        """The name that the template gives, or one that is made up."""
        made_up = f"{self.stack[:24]}-{self.logical[:24]}-{suffix()}"
        return self.properties.get(key) or made_up[:length]


class Api(Resource):
    """A WebSocket API."""

    attributes = {
        "ApiId": lambda api: api.physical,
        "ApiEndpoint": lambda api: f"wss://{api.physical}.execute-api.{api.world.region}.amazonaws.com",
    }

    def name(self):
        if self.properties.get("ProtocolType") != "WEBSOCKET":
            raise Failed("the counterpart has no APIs but those for WebSockets")
        return self.world.gateway.create_api()

    def delete(self):
        self.world.gateway.apis.pop(self.physical, None)
        self.world.gateway.close_all(self.physical)


class Stage(Resource):
    """A stage of an API. Connections are made to one."""

    def name(self):
        return self.properties["StageName"]

    def create(self):
        if not self.properties.get("AutoDeploy"):
            raise Failed("the counterpart has no stages but those that deploy themselves")
        self.world.gateway.apis[self.properties["ApiId"]].stages.add(self.physical)

    def delete(self):
        if api := self.world.gateway.apis.get(self.properties["ApiId"]):
            api.stages.discard(self.physical)


class Part(Resource):
    """What is only known by its id."""

    def name(self):
        return suffix(7).lower()


class PartOfApi(Part):
    """An integration, a route and so on, which the stages have at once when it changes."""

    # Among what of the API it is, and what it has to have.
    among, required = "", ()

    def create(self):
        self._put(self.properties)

    def update(self, properties):
        super().update(properties)
        self._put(properties)

    def delete(self):
        if api := self.world.gateway.apis.get(self.properties["ApiId"]):
            getattr(api, self.among).pop(self.physical, None)

    def _put(self, properties):
        if missing := [name for name in self.required if name not in properties]:
            raise Failed(f"Model validation failed: required keys {missing} are missing")
        api = self.world.gateway.apis[properties["ApiId"]]
        self.check(api, properties)
        getattr(api, self.among)[self.physical] = properties

    def check(self, api, properties):
        """Fails when the API would not take it."""


class Integration(PartOfApi):
    """What answers at a route."""

    among, required = "integrations", ("IntegrationType",)

    def delete(self):
        api = self.world.gateway.apis.get(self.properties["ApiId"])
        if api and any(one.get("Target") == f"integrations/{self.physical}" for one in api.routes.values()):
            raise Failed(f"Cannot delete the integration {self.physical}, to which a route goes")
        super().delete()


class IntegrationResponse(PartOfApi):
    """What is made of the answer of an integration."""

    among, required = "integration_responses", ("IntegrationId", "IntegrationResponseKey")

    def check(self, api, properties):
        if properties["IntegrationId"] not in api.integrations:
            raise Failed(f"Invalid Integration identifier specified: {properties['IntegrationId']}")


class Route(PartOfApi):
    """What messages are for. Only at `$connect` there is authorisation, and here nobody is let in without it."""

    among, required = "routes", ("RouteKey",)

    def check(self, api, properties):
        key, authorised = properties["RouteKey"], properties.get("AuthorizationType", "NONE")
        if (authorised == "AWS_IAM") != (key == "$connect"):
            raise Failed(f"Authorization type {authorised} of the route {key}: it has to be AWS_IAM for $connect, and NONE for any other")
        if api.route(key)[0] not in (None, self.physical):
            raise Failed(f"Route with key {key} already exists for this API")
        if properties.get("Target", "").removeprefix("integrations/") not in api.integrations:
            raise Failed(f"Target {properties.get('Target')} of the route {key} is no integration")


class RouteResponse(PartOfApi):
    """Without one, what comes of a route is not said to the client."""

    among, required = "route_responses", ("RouteId", "RouteResponseKey")

    def check(self, api, properties):
        if properties["RouteId"] not in api.routes or properties["RouteResponseKey"] != "$default":
            raise Failed(f"a response {properties['RouteResponseKey']} of the route {properties['RouteId']}")


class Role(Resource):
    """A role."""

    attributes = {
        "Arn": lambda role: f"arn:aws:iam::{role.world.account}:role/{role.physical}",
        "RoleId": lambda role: "AROACOUNTERPARTROLE00",
    }

    def name(self):
        return self.own_name("RoleName")

    def create(self):
        statements = self.properties.get("AssumeRolePolicyDocument", {}).get("Statement", [])
        principals = [one.get("Principal", {}).get("AWS") for one in statements if one.get("Effect") == "Allow"]
        trusted = any(self.world.account in str(one) for one in principals)
        self.world.roles[self.physical] = {"trusted": trusted, "attached": set(), "inline": {}}
        self._put({})

    def update(self, properties):
        before = self.properties
        super().update(properties)
        self._put(before)

    def _put(self, before):
        role = self.world.roles[self.physical]
        inline = {policy["PolicyName"]: policy["PolicyDocument"] for policy in self.properties.get("Policies", [])}
        gone = {policy["PolicyName"] for policy in before.get("Policies", [])} - set(inline)
        attach(self.physical, role, set(self.properties.get("ManagedPolicyArns", [])), set(before.get("ManagedPolicyArns", [])))
        role["inline"] = {name: document for name, document in role["inline"].items() if name not in gone}
        for name, document in inline.items():
            put_inline(self.physical, role, name, document)

    def delete(self):
        self.world.roles.pop(self.physical, None)


def attach(name, role, arns, before):
    """Attaches managed policies to a role, and takes those off that were there before."""
    attached = role["attached"] - before | arns
    if len(attached) > MOST_MANAGED:
        raise Failed(f"Cannot exceed quota for PoliciesPerRole: {MOST_MANAGED} (Service: Iam, Status Code: 409, Role: {name})")
    role["attached"] = attached


def put_inline(name, role, policy, document):
    """Gives a role an inline policy. White space does not count."""
    inline = {**role["inline"], policy: document}
    if sum(len(json.dumps(one, separators=(",", ":"))) for one in inline.values()) > LONGEST_INLINE:
        raise Failed(f"Maximum policy size of {LONGEST_INLINE} bytes exceeded for role {name} (Service: Iam, Status Code: 409)")
    role["inline"] = inline


class Policy(Resource):
    """An inline policy of roles."""

    def create(self):
        self.update(self.properties)

    def update(self, properties):
        self._take(self.properties)
        super().update(properties)
        for role in self._roles(properties):
            put_inline(role, self.world.roles[role], properties["PolicyName"], properties["PolicyDocument"])

    def delete(self):
        self._take(self.properties)

    def _take(self, properties):
        for role in self._roles(properties):
            self.world.roles[role]["inline"].pop(properties["PolicyName"], None)

    def _roles(self, properties):
        return [role for role in properties.get("Roles", []) if role in self.world.roles]


class ManagedPolicy(Resource):
    """A managed policy, known by its ARN. It cannot be removed while a role has it that does not get it from here."""

    def name(self):
        return f"arn:aws:iam::{self.world.account}:policy/{self.own_name('ManagedPolicyName')}"

    attributes = {"PolicyArn": lambda policy: policy.physical}

    def create(self):
        self._put(set(self.properties.get("Roles", [])), set())

    def update(self, properties):
        before = self.properties
        super().update(properties)
        self._put(set(properties.get("Roles", [])), set(before.get("Roles", [])))

    def _put(self, roles, before):
        length = len(json.dumps(self.properties["PolicyDocument"], separators=(",", ":")))
        if length > LONGEST_MANAGED:
            raise Failed(f"Cannot exceed quota for PolicySize: {LONGEST_MANAGED} (Service: Iam, Status Code: 409)")
        for name in before - roles & set(self.world.roles):
            self.world.roles[name]["attached"].discard(self.physical)
        for name in roles:
            attach(name, self.world.roles[name], {self.physical}, set())

    def delete(self):
        own = set(self.properties.get("Roles", []))
        if any(self.physical in role.get("attached", ()) for name, role in self.world.roles.items() if name not in own):
            raise Failed("Cannot delete a policy attached to entities. (Service: Iam, Status Code: 409)")
        self._put(set(), own)


class Table(Resource):
    """A table of DynamoDB."""

    attributes = {"Arn": lambda table: f"arn:aws:dynamodb:{table.world.region}:{table.world.account}:table/{table.physical}"}

    def name(self):
        return self.own_name("TableName")

    def create(self):
        (key,) = [one["AttributeName"] for one in self.properties["KeySchema"] if one["KeyType"] == "HASH"]
        self.world.dynamodb.create_table(self.physical, key)

    def delete(self):
        self.world.dynamodb.tables.pop(self.physical, None)


class Bucket(Resource):
    """A bucket."""

    attributes = {
        "Arn": lambda bucket: f"arn:aws:s3:::{bucket.physical}",
        "DomainName": lambda bucket: f"{bucket.physical}.s3.amazonaws.com",
        "RegionalDomainName": lambda bucket: f"{bucket.physical}.s3.{bucket.world.region}.amazonaws.com",
    }

    def name(self):
        return self.own_name("BucketName", 63).lower()

    def create(self):
        self.world.s3.create_bucket(self.physical)

    def delete(self):
        if self.world.s3.buckets.get(self.physical):
            raise Failed(f"The bucket you tried to delete is not empty (Service: S3, Status Code: 409, Bucket: {self.physical})")
        self.world.s3.buckets.pop(self.physical, None)


class Function(Resource):
    """A Lambda function."""

    attributes = {"Arn": lambda function: function.world.functions.arn(function.physical)}

    def name(self):
        return self.own_name("FunctionName")

    def create(self):
        self._put(True)

    def update(self, properties):
        changed = properties.get("Code") != self.properties.get("Code")
        super().update(properties)
        self._put(changed)

    def _put(self, with_code):
        known = self.properties
        code = known.get("Code", {})
        archive = None
        if with_code and "S3Bucket" in code:
            if code["S3Key"] not in self.world.s3.buckets.get(code["S3Bucket"], {}):
                raise Failed('Resource handler returned message: "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."')
            archive = self.world.s3.get(code["S3Bucket"], code["S3Key"])
        configuration = {
            "runtime": known.get("Runtime"), "handler": known.get("Handler"), "timeout": known.get("Timeout", 3), "memory": known.get("MemorySize", 128),
            "role": known["Role"], "variables": known.get("Environment", {}).get("Variables", {}),
            "inline": code.get("ZipFile", ""),
        }
        (configuration["architecture"],) = known.get("Architectures", ["x86_64"])
        try:
            self.world.functions.put(self.physical, configuration, code=archive)
        except Exception as error:
            raise Failed(f'Resource handler returned message: "{error}"') from error

    def delete(self):
        self.world.functions.delete(self.physical)


class InvokeConfig(Resource):
    """How often asynchronous events are sent again."""

    def create(self):
        self.update(self.properties)

    def update(self, properties):
        super().update(properties)
        function = self.world.functions.functions.get(properties["FunctionName"].split(":")[-1])
        if function:
            function.retries = properties.get("MaximumRetryAttempts", 2)


class FunctionUrl(Resource):
    """The URL of a function, which nobody serves here."""

    attributes = {
        "FunctionUrl": lambda url: f"https://{url.physical}.lambda-url.{url.world.region}.on.aws/",
        "FunctionArn": lambda url: url.properties["TargetFunctionArn"],
    }

    def name(self):
        return suffix(32).lower()


class Parameter(Resource):
    """A parameter of Systems Manager."""

    def name(self):
        return self.own_name("Name")

    def create(self):
        self.world.services["ssm"].parameters[self.physical] = self.properties["Value"]

    def update(self, properties):
        super().update(properties)
        self.create()

    def delete(self):
        self.world.services["ssm"].parameters.pop(self.physical, None)


class Rule(Resource):
    """A rule of EventBridge, with a schedule."""

    attributes = {"Arn": lambda rule: f"arn:aws:events:{rule.world.region}:{rule.world.account}:rule/{rule.physical}"}

    def name(self):
        return self.own_name("Name")

    def create(self):
        self.world.services["events"].rules[self.physical] = self.properties.get("State", "ENABLED") == "ENABLED"

    def delete(self):
        self.world.services["events"].rules.pop(self.physical, None)


class Key(Resource):
    """A key, with which nothing is encrypted here."""

    attributes = {"Arn": lambda key: f"arn:aws:kms:{key.world.region}:{key.world.account}:key/{key.physical}"}


class Repository(Resource):
    """A repository of images, which nobody pushes to here."""

    attributes = {"Arn": lambda one: f"arn:aws:ecr:{one.world.region}:{one.world.account}:repository/{one.physical}"}

    def name(self):
        return self.own_name("RepositoryName").lower()


TYPES = {
    "AWS::ApiGatewayV2::Api": Api,
    "AWS::ApiGatewayV2::Deployment": Part,
    "AWS::ApiGatewayV2::Integration": Integration,
    "AWS::ApiGatewayV2::IntegrationResponse": IntegrationResponse,
    "AWS::ApiGatewayV2::Route": Route,
    "AWS::ApiGatewayV2::RouteResponse": RouteResponse,
    "AWS::ApiGatewayV2::Stage": Stage,
    "AWS::CDK::Metadata": Resource,
    "AWS::DynamoDB::Table": Table,
    "AWS::ECR::Repository": Repository,
    "AWS::Events::Rule": Rule,
    "AWS::IAM::ManagedPolicy": ManagedPolicy,
    "AWS::IAM::Policy": Policy,
    "AWS::IAM::Role": Role,
    "AWS::KMS::Alias": Part,
    "AWS::KMS::Key": Key,
    "AWS::Lambda::EventInvokeConfig": InvokeConfig,
    "AWS::Lambda::Function": Function,
    "AWS::Lambda::Permission": Resource,
    "AWS::Lambda::Url": FunctionUrl,
    "AWS::Logs::LogGroup": Resource,
    "AWS::S3::Bucket": Bucket,
    "AWS::S3::BucketPolicy": Resource,
    "AWS::SSM::Parameter": Parameter,
}
