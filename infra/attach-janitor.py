"""Gives functions back that were attached by an `sst attach` that has ended without doing so: by the rules of src/attach/switch/."""
import json
import os
import time

import boto3
from botocore.exceptions import ClientError

ENV = os.environ


def settings(now):
    """What a stub may have otherwise, in the shape in which it is set; absent is empty."""
    of = lambda name: now.get(name) or {}
    network = of("VpcConfig")
    return {
        "Runtime": now.get("Runtime"),
        "Timeout": now.get("Timeout", 3),
        "Environment": of("Environment").get("Variables", {}),
        "Layers": [layer["Arn"] for layer in now.get("Layers") or []],
        "VpcConfig": {
            "SubnetIds": sorted(network.get("SubnetIds", [])),
            "SecurityGroupIds": sorted(network.get("SecurityGroupIds", [])),
            "Ipv6AllowedForDualStack": network.get("Ipv6AllowedForDualStack", False),
        },
        "FileSystemConfigs": now.get("FileSystemConfigs") or [],
        "DeadLetterConfig": {"TargetArn": of("DeadLetterConfig").get("TargetArn", "")},
        "EphemeralStorage": {"Size": of("EphemeralStorage").get("Size", 512)},
        "SnapStart": {"ApplyOn": of("SnapStart").get("ApplyOn", "None")},
        "LoggingConfig": {"LogFormat": "Text", **of("LoggingConfig")},
    }


def back(own, stub, now):
    """What of `now` is still the stub's becomes the function's own; what others have set stays."""
    one = lambda own, stub, now: own if now == stub else now
    wanted = {name: one(own[name], stub[name], now[name]) for name in now}
    for name in ("Environment", "LoggingConfig"):
        o, s, n = own[name], stub[name], now[name]
        merged = {key: one(o.get(key), s.get(key), n.get(key)) for key in {**o, **n}}
        wanted[name] = {key: value for key, value in merged.items() if value is not None}
    logging = wanted["LoggingConfig"]
    if logging["LogFormat"] == "Text":
        wanted["LoggingConfig"] = {key: value for key, value in logging.items() if not key.endswith("LogLevel")}
    return wanted


def at_rest(api, name):
    """The configuration of a function when no update of it is under way."""
    while True:
        now = api.get_function_configuration(FunctionName=name)
        if now.get("LastUpdateStatus") != "InProgress" and now.get("State") != "Pending":
            return now
        time.sleep(1)


def change(api, was, name, now):
    """Does the next thing that is missing; false when there is none."""
    before = settings(now)
    wanted = back(was["own"], was["stub"], before)
    # What Lambda has not managed it tells all the same, so it is to be set once more.
    known = was["stub"] if now.get("LastUpdateStatus") == "Failed" else before
    missing = {field: value for field, value in wanted.items() if value != known[field]}
    same = {"FunctionName": name, "RevisionId": now["RevisionId"]}
    if missing:
        if "Environment" in missing:
            missing["Environment"] = {"Variables": missing["Environment"]}
        api.update_function_configuration(**same, **missing)
    elif now["CodeSha256"] == was["stubCode"]:
        code = was["code"]
        key = {"SourceKMSKeyArn": code["sourceKmsKeyArn"]} if "sourceKmsKeyArn" in code else {}
        api.update_function_code(**same, **key, S3Bucket=code["bucket"], S3Key=code["key"])
    else:
        return False
    return True


def restore(api, was, name):
    """Gives a function back, unless it has gone."""
    for _ in range(8):
        try:
            if not change(api, was, name, at_rest(api, name)):
                return
        except ClientError as error:
            if code(error) == "ResourceNotFoundException":
                return
            # Somebody else changes it at this moment.
            if code(error) not in ("ResourceConflictException", "PreconditionFailedException"):
                raise
            time.sleep(1)
    raise RuntimeError(f"{name} is not as it was set")


def code(error):
    """What AWS calls an error."""
    return error.response["Error"]["Code"]


def unless(expected, call, **parameters):
    """Asks for something that may be done already, or for which there is nothing any more."""
    try:
        call(**parameters)
    except ClientError as error:
        if code(error) != expected:
            raise


def finish(lease):
    """Takes a lease that does not count any more, and does what is left to do."""
    api, s3 = boto3.client("lambda"), boto3.client("s3")
    name, session = lease["pk"][len("attach:") :], f"janitor-{time.time_ns()}"
    place = {"Bucket": ENV["BUCKET"]}
    keys = {file: f"attach/{name}/{lease['origin']}/{file}" for file in ("snapshot.json", "code.zip")}
    ours = {**lease, "session": session, "holder": "the janitor", "place": "janitor", "until": int(time.time()) + 240}
    put(ours, lease["session"])
    # Nothing of it was changed before it had its tag.
    if lease["tagged"] and not lease["given"]:
        restore(api, json.load(s3.get_object(**place, Key=keys["snapshot.json"])["Body"]), name)
    put({**ours, "given": True}, session)
    unless("ResourceNotFoundException", api.untag_resource, Resource=lease["functionArn"], TagKeys=["sst:attached"])
    role = lease["functionRole"]
    of_role = [one for one in leases() if one["functionRole"] == role and one["pk"] != lease["pk"]]
    if lease["policy"] and all(one["given"] for one in of_role):
        detach = boto3.client("iam").detach_role_policy
        unless("NoSuchEntity", detach, RoleName=role.split("/")[-1], PolicyArn=ENV["POLICY"])
    for key in keys.values():
        s3.delete_object(**place, Key=key)
    table().delete_item(
        Key={"pk": lease["pk"]},
        ConditionExpression="#session = :session",
        ExpressionAttributeNames={"#session": "session"},
        ExpressionAttributeValues={":session": session},
    )


def put(lease, held_by):
    """Writes a lease that is in the hands of a session."""
    table().put_item(
        Item=lease,
        ConditionExpression="#session = :session",
        ExpressionAttributeNames={"#session": "session"},
        ExpressionAttributeValues={":session": held_by},
    )


def table():
    """Where the leases are, beside the registrations."""
    return boto3.resource("dynamodb").Table(ENV["TABLE"])


def leases():
    """All that there are."""
    found, more = [], {}
    while True:
        page = table().scan(ConsistentRead=True, **more)
        found += [item for item in page["Items"] if item["pk"].startswith("attach:")]
        if "LastEvaluatedKey" not in page:
            return found
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def handler(event, _):
    """Looks after what nobody looks after. Asked to watch, it does so every five minutes, while there is anything attached."""
    events, rule = boto3.client("events"), {"Name": ENV["RULE"]}
    if event.get("watch"):
        return events.enable_rule(**rule) and None
    for lease in leases():
        if lease["until"] < time.time():
            try:
                finish(lease)
                print(f"{lease['pk']} of {lease['holder']}: given back")
            except Exception as error:
                # The others do not wait for it, and it is tried again.
                print(f"{lease['pk']} of {lease['holder']}: {error!r}")
    if not leases():
        events.disable_rule(**rule)
        # Somebody may have attached a function in between.
        if leases():
            events.enable_rule(**rule)
