"""What is asked of Lambda about a function besides calling it: its configuration, code, tags, aliases and so on, and changing the first three.

Updates are as AWS documents them: one at a time, under a revision if one is given, and in progress until somebody has looked as often as
the settings say.
"""

import base64
import hashlib
import io
import json
import re
import urllib.parse
import uuid
import zipfile

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from web import Response, json_response

# Where Lambda itself keeps code, for the URLs that it hands out.
CODE_BUCKET = "awslambda-code"

LONGEST_VARIABLES = 4096
MOST_LAYERS, MOST_TAGS = 5, 50
RESERVED = {
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "_HANDLER",
    "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}
LAYER_VERSION = r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+"

# What `UpdateFunctionConfiguration` takes, and is told of a function as it was given.
SETTINGS = {
    "Role", "Handler", "Description", "Timeout", "MemorySize", "VpcConfig", "Environment", "Runtime", "DeadLetterConfig", "KMSKeyArn", "TracingConfig",
    "Layers", "FileSystemConfigs", "EphemeralStorage", "SnapStart", "LoggingConfig",
}

ROUTES = [
    ("PUT", r"/2015-03-31/functions/([^/]+)/configuration", "UpdateFunctionConfiguration"),
    ("PUT", r"/2015-03-31/functions/([^/]+)/code", "UpdateFunctionCode"),
    ("GET", r"/2015-03-31/functions/([^/]+)/aliases", "ListAliases"),
    ("GET", r"/2019-09-30/functions/([^/]+)/concurrency", "GetFunctionConcurrency"),
    ("GET", r"/2019-09-30/functions/([^/]+)/provisioned-concurrency", "ListProvisionedConcurrencyConfigs"),
    ("GET", r"/2019-09-25/functions/([^/]+)/event-invoke-config", "GetFunctionEventInvokeConfig"),
    ("GET", r"/2021-07-20/functions/([^/]+)/runtime-management-config", "GetRuntimeManagementConfig"),
    ("GET", r"/2020-06-30/functions/([^/]+)/code-signing-config", "GetFunctionCodeSigningConfig"),
    ("POST", r"/2017-03-31/tags/([^/]+)", "TagResource"),
    ("DELETE", r"/2017-03-31/tags/([^/]+)", "UntagResource"),
    ("GET", r"/2017-03-31/tags/([^/]+)", "ListTags"),
]


class Failed(Exception):
    """An error with a type."""

    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def invalid(message):
    """What is said of parameters."""
    return Failed(400, "InvalidParameterValueException", message)


class About:
    """What is known of a function besides what running it takes."""

    def __init__(self, function, archive):
        known = function.configuration
        self.archive = archive or archive_of("")
        self.settings = {
            "Runtime": known.get("runtime", "provided.al2023"), "Handler": known.get("handler", "bootstrap"), "Role": known.get("role"),
            "Timeout": function.timeout, "MemorySize": int(known.get("memory", 128)), "Environment": {"Variables": known.get("variables", {})},
            "Description": "", "TracingConfig": {"Mode": "PassThrough"}, "EphemeralStorage": {"Size": 512}, "SnapStart": {"ApplyOn": "None"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function.name}"}, "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
            **known.get("settings", {}),
        }
        self.architecture = function.architecture
        self.tags = dict(known.get("tags", {}))
        # What Lambda tells of functions of other kinds, e.g. `DurableConfig`.
        self.other = dict(known.get("other", {}))
        self.asked = {
            "aliases": known.get("aliases", []), "provisioned": known.get("provisioned", []), "signing": known.get("signing"),
            "runtimeUpdates": known.get("runtimeUpdates", "Auto"), "eventInvokeConfig": known.get("eventInvokeConfig"),
            "concurrency": known.get("concurrency"), "queueTimeout": known.get("queueTimeout"),
        }
        self.status, self.reason = "Successful", None
        # How often somebody still has to look before an update is over, and what it will have come to.
        self.looks, self.failing = 0, None
        self.revise()

    def revise(self):
        """Another revision."""
        self.revision = str(uuid.uuid4())

    @property
    def sha256(self):
        """That of its code, as Lambda writes it."""
        return base64.b64encode(hashlib.sha256(self.archive).digest()).decode()

    def begin(self, looks):
        """An update is accepted."""
        self.status, self.reason, self.looks = "InProgress", None, looks
        self.revise()

    def look(self):
        """Somebody looks, and time has passed."""
        if self.status != "InProgress":
            return
        self.looks -= 1
        if self.looks < 0:
            self.status, self.reason = ("Failed", self.failing) if self.failing else ("Successful", None)
            self.failing = None
            self.revise()

    def configuration(self):
        """As Lambda tells it."""
        told = {key: value for key, value in self.settings.items() if value is not None}
        told["Layers"] = [{"Arn": arn, "CodeSize": 1} for arn in told.get("Layers", [])]
        told["SnapStart"] = {**told["SnapStart"], "OptimizationStatus": "Off"}
        told["VpcConfig"] = {**told["VpcConfig"], "VpcId": "vpc-1" if told["VpcConfig"].get("SubnetIds") else ""}
        for key in [key for key in ("Layers", "FileSystemConfigs") if not told.get(key)]:
            told.pop(key, None)
        if not told.get("DeadLetterConfig", {}).get("TargetArn"):
            told.pop("DeadLetterConfig", None)
        if not told["Environment"]["Variables"]:
            del told["Environment"]
        told.update({
            "CodeSha256": self.sha256, "CodeSize": len(self.archive), "RevisionId": self.revision, "LastUpdateStatus": self.status, "State": "Active",
            "LastModified": "2026-12-01T00:00:00.000+0000", "Version": "$LATEST", "PackageType": "Zip", "Architectures": [self.architecture],
        })
        if self.reason:
            told.update({"LastUpdateStatusReason": self.reason["reason"], "LastUpdateStatusReasonCode": self.reason["code"]})
        return {**told, **self.other}


class Updates:
    """Answers what is asked of one function."""

    def __init__(self, functions):
        self.functions, self.world = functions, functions.world

    def answer(self, asked, request, function, key):
        """The answer to a request, none when it is not for this part."""
        answer = getattr(self, f"_{asked}", None)
        if answer is None:
            return None
        told = answer(request, function.about, function)
        self.world.record.add("lambda", operation=asked, who=key["who"], function=function.name)
        return told if isinstance(told, Response) else json_response(200, told)

    # ---- Looking ----

    def _GetFunctionConfiguration(self, _, about, function):
        about.look()
        return self.described(function)

    def _GetFunction(self, request, about, function):
        about.look()
        told = {
            "Configuration": self.described(function), "Tags": about.tags,
            "Code": {"RepositoryType": "S3", "Location": self._location(request, function), **function.configuration.get("code", {})},
        }
        if about.asked["concurrency"] is not None:
            told["Concurrency"] = {"ReservedConcurrentExecutions": about.asked["concurrency"]}
        told.update(function.configuration.get("look", {}))
        return {key: value for key, value in told.items() if value != {}}

    def described(self, function):
        """The configuration of a function."""
        role = function.about.settings["Role"] or f"arn:aws:iam::{self.world.account}:role/{function.name}"
        names = {"FunctionName": function.name, "FunctionArn": self.functions.arn(function.name)}
        return {**names, **function.about.configuration(), "Role": role}

    def _location(self, request, function):
        """A signed URL of the code."""
        self.world.s3.buckets.setdefault(CODE_BUCKET, {})
        name = f"snapshots/{self.world.account}/{function.name}-{uuid.uuid4()}"
        self.world.s3.put(CODE_BUCKET, name, function.about.archive)
        key = self.world.keys.mint("lambda", "arn:aws:sts::000000000000:assumed-role/lambda/code")
        signed = AWSRequest(method="GET", url=f"http://{request.headers['host']}/{CODE_BUCKET}/{name}")
        credentials = Credentials(key["accessKeyId"], key["secretAccessKey"], key["sessionToken"])
        S3SigV4QueryAuth(credentials, "s3", self.world.region, expires=600).add_auth(signed)
        return signed.url

    def _ListAliases(self, _, about, function):
        return {"Aliases": [{"AliasArn": f"{self.functions.arn(function.name)}:{one['Name']}", **one} for one in about.asked["aliases"]]}

    def _GetFunctionConcurrency(self, _, about, __):
        reserved = about.asked["concurrency"]
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def _ListProvisionedConcurrencyConfigs(self, request, about, function):
        if request.parameters().get("List") != "ALL":
            raise invalid("List has to be ALL")
        arn = self.functions.arn(function.name)
        all_of = [{"FunctionArn": f"{arn}:{name}", "Status": "READY"} for name in about.asked["provisioned"]]
        return {"ProvisionedConcurrencyConfigs": all_of}

    def _GetFunctionEventInvokeConfig(self, _, about, function):
        if about.asked["eventInvokeConfig"] is None:
            raise Failed(404, "ResourceNotFoundException", f"The function {self.functions.arn(function.name)} doesn't have an EventInvokeConfig")
        return {"FunctionArn": self.functions.arn(function.name), **about.asked["eventInvokeConfig"]}

    def _GetRuntimeManagementConfig(self, _, about, function):
        return {"FunctionArn": self.functions.arn(function.name), "UpdateRuntimeOn": about.asked["runtimeUpdates"]}

    def _GetFunctionCodeSigningConfig(self, _, about, function):
        signing = about.asked["signing"]
        return {"FunctionName": function.name, **({"CodeSigningConfigArn": signing} if signing else {})}

    # ---- Changing ----

    def _UpdateFunctionConfiguration(self, request, about, function):
        wanted = request.json()
        self._may_begin(wanted, about, function)
        if unknown := set(wanted) - SETTINGS:
            raise invalid(f"the counterpart knows no {sorted(unknown)}")
        settings = {**about.settings, **wanted}
        if "LoggingConfig" in wanted:
            settings["LoggingConfig"] = {"LogGroup": f"/aws/lambda/{function.name}", **wanted["LoggingConfig"]}
        check(settings, about, self.functions.layers)
        if about.asked["runtimeUpdates"] == "Manual" and settings["Runtime"] != about.settings["Runtime"]:
            raise invalid("You can't change the runtime of a function whose runtime version is managed manually.")
        about.settings = settings
        self._begun(about, function)
        return self.described(function)

    def _UpdateFunctionCode(self, request, about, function):
        wanted = request.json()
        self._may_begin(wanted, about, function)
        if ("ZipFile" in wanted) == ("S3Bucket" in wanted):
            raise invalid("Please provide either an S3 object or a zip file")
        if "ZipFile" in wanted:
            archive = base64.b64decode(wanted["ZipFile"])
        else:
            found = self.world.s3.buckets.get(wanted["S3Bucket"], {}).get(wanted["S3Key"])
            if found is None:
                raise invalid("Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")
            archive = found["body"]
        if not zipfile.is_zipfile(io.BytesIO(archive)):
            raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
        about.archive = archive
        if "Architectures" in wanted:
            (about.architecture,) = wanted["Architectures"]
        self._begun(about, function)
        return self.described(function)

    def _may_begin(self, wanted, about, function):
        revision = wanted.pop("RevisionId", None)
        wanted.pop("FunctionName", None)
        arn = self.functions.arn(function.name)
        if about.status == "InProgress":
            message = f"The operation cannot be performed at this time. An update is in progress for resource: {arn}"
            raise Failed(409, "ResourceConflictException", message)
        if revision is not None and revision != about.revision:
            message = (
                "The RevisionId provided does not match the latest RevisionId for the Lambda function or alias. Call the GetFunction or the GetAlias API"
                " to retrieve the latest RevisionId for your resource."
            )
            raise Failed(412, "PreconditionFailedException", message)

    def _begun(self, about, function):
        about.failing = self.world.settings["functions"]["failUpdates"].pop(function.name, None)
        about.begin(self.world.settings["functions"]["updateLooks"])
        self.functions.changed(function)

    # ---- Tags ----

    def _TagResource(self, request, about, _):
        tags = {**about.tags, **request.json()["Tags"]}
        if len(tags) > MOST_TAGS:
            raise invalid(f"Too many tags: {len(tags)}")
        for name, value in tags.items():
            if name.startswith("aws:") or not re.fullmatch(r"[\w\s.:/=+@-]{1,128}", name) or not re.fullmatch(r"[\w\s.:/=+@-]{0,256}", value):
                raise invalid(f"Invalid tag {name}: {value}")
        about.tags = tags
        return Response(204)

    def _UntagResource(self, request, about, _):
        names = [value for name, value in urllib.parse.parse_qsl(request.query) if name == "tagKeys"]
        about.tags = {name: value for name, value in about.tags.items() if name not in names}
        return Response(204)

    def _ListTags(self, _, about, __):
        return {"Tags": about.tags}


def check(settings, about, layers):
    """Fails where Lambda would not take settings."""
    if not 1 <= settings["Timeout"] <= 900:
        raise Failed(400, "ValidationException", "1 validation error detected: Value at 'timeout' failed to satisfy constraint")
    variables = settings["Environment"].get("Variables", {})
    text = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > LONGEST_VARIABLES:
        message = "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit."
        raise invalid(f"{message} String measured: {text}")
    if bad := sorted(set(variables) & RESERVED):
        message = "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys"
        raise invalid(f"{message} that are currently not supported for modification. Reserved keys used in this request: {', '.join(bad)}")
    if bad := [name for name in variables if not re.fullmatch(r"[a-zA-Z]([a-zA-Z0-9_])+", name)]:
        raise Failed(400, "ValidationException", f"1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: {bad}")
    if len(settings.get("Layers", [])) > MOST_LAYERS:
        raise invalid(f"Cannot reference more than {MOST_LAYERS} layers.")
    for arn in settings.get("Layers", []):
        if not re.fullmatch(LAYER_VERSION, arn) or arn not in layers:
            raise invalid(f"Layer version {arn} does not exist.")
    logging = settings["LoggingConfig"]
    if logging.get("LogFormat", "Text") == "Text" and {"ApplicationLogLevel", "SystemLogLevel"} & set(logging):
        raise invalid("To use a log level you must set your function's log format to JSON.")
    network = settings["VpcConfig"]
    if bool(network.get("SubnetIds")) != bool(network.get("SecurityGroupIds")):
        raise invalid("SubnetIds and SecurityIds must coexist or be both empty list.")
    if settings.get("FileSystemConfigs") and not network.get("SubnetIds"):
        raise invalid("Function must be configured to execute in a VPC to reference access points.")
    if not 512 <= settings["EphemeralStorage"]["Size"] <= 10240:
        raise invalid("EphemeralStorage has to be from 512 to 10240")
    if settings["SnapStart"]["ApplyOn"] != "None" and settings["Runtime"].startswith("provided"):
        raise invalid(f"{settings['Runtime']} is not supported for SnapStart enabled functions.")
    queue = about.asked["queueTimeout"]
    if queue is not None and queue < settings["Timeout"]:
        raise invalid(f"Queue visibility timeout: {queue} seconds is less than Function timeout: {settings['Timeout']} seconds")


def archive_of(text):
    """The code of a function that has one file."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        # At a fixed time, so that the same text is the same code.
        archive.writestr(zipfile.ZipInfo("index.js", (2026, 12, 1, 0, 0, 0)), text)
    return body.getvalue()
