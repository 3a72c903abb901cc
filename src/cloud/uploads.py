"""Uploads the files of sites: the CDK's `BucketDeployment`, and the site constructs of SST.

Both have a function that runs the AWS CLI from a layer, by the path that it has on Lambda. There is no such path on this machine, so the
deployment of every app with a site would fail. What that function does is done here.
"""

import fnmatch
import io
import json
import mimetypes
import os
import uuid
import zipfile

import addresses

# What is replaced or used here, by module.
USES = {"ministack.services.cloudformation.custom_resource": ["invoke_custom_resource"]}

# The options of `aws s3` for what an object says of itself.
_HEADERS = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
    "expires": "Expires",
    "website-redirect": "WebsiteRedirectLocation",
}


def apply():
    """Does what these resources ask for, instead of calling their functions."""
    from ministack.services.cloudformation import custom_resource

    kinds = {"Custom::CDKBucketDeployment": _cdk, "Custom::SSTBucketDeployment": _sst}
    invoke = custom_resource.invoke_custom_resource

    def invoke_custom_resource(request, logical_id, props, stack_name, stack_id, resource_type, physical_id=None, old_props=None):
        upload = kinds.get(resource_type)
        if upload is None:
            return invoke(request, logical_id, props, stack_name, stack_id, resource_type, physical_id, old_props)
        data = upload(_client(), request, props)
        return physical_id or f"{logical_id}-{uuid.uuid4()}", data

    custom_resource.invoke_custom_resource = invoke_custom_resource


def _client():
    import boto3
    from botocore.config import Config
    from ministack.core.responses import get_region

    # This server itself, which is free to answer: resources are created by threads of their own.
    return boto3.client("s3", get_region(), endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=Config(s3={"addressing_style": "path"}))


def _cdk(s3, request, props):
    bucket, prefix = props["DestinationBucketName"], props.get("DestinationBucketKeyPrefix", "").strip("/")
    prefix = f"{prefix}/" if prefix else ""
    keeps = _is_true(props.get("RetainOnDelete", True))
    if request == "Delete":
        if not keeps:
            _remove(s3, bucket, _keys(s3, bucket, prefix))
        return {}
    files = {}
    markers, settings = props.get("SourceMarkers") or [], props.get("SourceMarkersConfig") or []
    for index, (source, key) in enumerate(zip(props["SourceBucketNames"], props["SourceObjectKeys"])):
        archive = s3.get_object(Bucket=source, Key=key)["Body"].read()
        if not _is_true(props.get("Extract", True)):
            files[key.rpartition("/")[2]] = archive
            continue
        own = markers[index] if index < len(markers) else {}
        escapes = _is_true((settings[index] if index < len(settings) else {}).get("jsonEscape", False))
        files.update(_with_markers(name, data, own, escapes) for name, data in _unpacked(archive))
    filters = [("exclude", one) for one in props.get("Exclude") or []] + [("include", one) for one in props.get("Include") or []]
    said = {name.lower(): value for name, value in (props.get("SystemMetadata") or {}).items()}
    metadata = {name.lower(): value for name, value in (props.get("UserMetadata") or {}).items()}
    wanted = {name: data for name, data in files.items() if _is_chosen(name, filters)}
    for name, data in wanted.items():
        _put(s3, bucket, prefix + name, data, said, metadata)
    if _is_true(props.get("Prune", True)):
        old = [key for key in _keys(s3, bucket, prefix) if key[len(prefix) :] not in wanted]
        _remove(s3, bucket, [key for key in old if _is_chosen(key[len(prefix) :], filters)])
    keys = props["SourceObjectKeys"] if _is_true(props.get("OutputObjectKeys", True)) else []
    return {"DestinationBucketArn": props.get("DestinationBucketArn"), "SourceObjectKeys": keys}


def _sst(s3, request, props):
    if request == "Delete":
        return {}
    bucket, files = props["DestinationBucketName"], {}
    for source in props["Sources"]:
        files.update(_unpacked(s3.get_object(Bucket=source["BucketName"], Key=source["ObjectKey"])["Body"].read()))
    for one in props.get("ReplaceValues") or []:
        # With any number of directories before the name, and so with none.
        patterns = {one["files"], one["files"].replace("**/", "")}
        for name in [name for name in files if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]:
            files[name] = files[name].replace(one["search"].encode(), addresses.local(str(one["replace"])).encode())
    said = {}
    for options in props.get("FileOptions") or []:
        pairs = [(options[index].lstrip("-"), options[index + 1]) for index in range(0, len(options) - 1, 2)]
        filters = [pair for pair in pairs if pair[0] in ("exclude", "include")]
        headers = {name: value for name, value in pairs if name in _HEADERS}
        said.update((name, headers) for name in files if _is_chosen(name, filters))
    for name, data in files.items():
        _put(s3, bucket, name, data, said.get(name, {}), {})
    if listed := props.get("Filenames"):
        # The files of this deployment and of the last ones; all others are of no use any more.
        kept = s3.get_object(Bucket=listed["BucketName"], Key=listed["ObjectKey"])["Body"].read().decode().split("\n")
        _remove(s3, bucket, [key for key in _keys(s3, bucket, "") if key not in files and key not in kept])
    return {}


def _is_true(value):
    return str(value).lower() == "true"


def _unpacked(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return [(one.filename, files.read(one)) for one in files.infolist() if not one.is_dir()]


def _with_markers(name, data, markers, escapes):
    """Puts in what was not known when the app was synthesised. A page finds an API by the address that it has here."""
    for marker, value in markers.items():
        value = json.dumps(str(value))[1:-1] if escapes else str(value)
        data = data.replace(marker.encode(), value.encode())
    # An address may be made of several.
    return name, _with_local(data) if markers else data


def _with_local(data):
    # Each byte is a character, so that whatever is no address stays as it is.
    return addresses.local(data.decode("latin-1")).encode("latin-1")


def _is_chosen(name, filters):
    """As the AWS CLI has it: all are, and of the filters the last one that fits decides."""
    chosen = True
    for kind, pattern in filters:
        if fnmatch.fnmatchcase(name, pattern):
            chosen = kind == "include"
    return chosen


def _put(s3, bucket, key, data, said, metadata):
    headers = {_HEADERS[name]: value for name, value in said.items() if name in _HEADERS}
    headers.setdefault("ContentType", mimetypes.guess_type(key)[0] or "binary/octet-stream")
    s3.put_object(Bucket=bucket, Key=key, Body=data, Metadata=metadata, **headers)


def _keys(s3, bucket, prefix):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def _remove(s3, bucket, keys):
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
