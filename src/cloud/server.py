"""Starts the local cloud as `bin/ministack` does, but changes three things of its CloudFormation first.

The changes replace private names of ministack, so they are for exactly one release of it.
"""

import importlib
import importlib.metadata
import sys

RELEASE = "1.5.33"

# What is replaced or used below. Without one of these a change would do nothing, or fail much later.
NAMES = {
    "ministack.services.cloudformation": ["_stacks"],
    "ministack.services.cloudformation.custom_resource": ["_lock", "_pending", "deliver_response", "register_token"],
    "ministack.services.cloudformation.provisioners": [
        "_STACK_TAG_PROPERTY",
        "_reconcile_tag_map",
        "_s3_apply_configurations",
        "_update_resource",
    ],
    "ministack.services.lambda_svc": ["_execute_function_with_config_scope"],
    "ministack.services.s3": ["_bucket_tags"],
}


def keep_attributes_in_nested_stacks():
    """Lets an unchanged resource of a nested stack keep its attributes when the stack is updated.

    AWS does not touch a resource whose properties are what they were. ministack neither, but in nested stacks it calls
    `_update_resource` without the attributes that are to be kept, and has none afterwards: whatever refers to one makes the update
    fail with, e.g., "Requested attribute Arn does not exist in schema for AWS::IAM::Role". The record of the stack still has them.
    """
    from ministack.services import cloudformation
    from ministack.services.cloudformation import provisioners

    original = provisioners._update_resource

    def update_resource(resource_type, physical_id, old_props, new_props, stack_name, logical_id=None, old_attrs=None):
        if old_attrs is None:
            resources = cloudformation._stacks.get(stack_name, {}).get("_resources", {})
            old_attrs = resources.get(logical_id, {}).get("Attributes")
        return original(resource_type, physical_id, old_props, new_props, stack_name, logical_id, old_attrs)

    provisioners._update_resource = update_resource


def tag_buckets():
    """Gives a bucket the tags of the template and of its stack.

    AWS does, and the CDK relies on it: before `autoDeleteObjects` empties a bucket that is to be deleted, it looks whether the
    bucket has the tag for that. ministack ignores the tags, so deleting the stack fails with "NoSuchTagSet". All creations and
    updates of buckets pass through `_s3_apply_configurations`.
    """
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    original = provisioners._s3_apply_configurations

    def apply_configurations(name, props, old_props=None):
        original(name, props, old_props)
        provisioners._reconcile_tag_map(s3._bucket_tags.setdefault(name, {}), old_props or {}, props)

    provisioners._s3_apply_configurations = apply_configurations
    # With this the stack's own tags are among `props`.
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")


def end_failed_custom_resources():
    """Fails a custom resource whose function fails without having answered.

    AWS waits for an answer for an hour, and so would ministack. Here somebody sits in front of it. Only the call that ministack
    makes for the resource itself counts, which it makes in the thread that registered the answer: the CDK's `Provider` with an
    `isCompleteHandler` has Step Functions call another function with the same event, whose failure means no more than "not yet".
    """
    import threading

    from ministack.services import lambda_svc
    from ministack.services.cloudformation import custom_resource

    register = custom_resource.register_token
    original = lambda_svc._execute_function_with_config_scope
    own = threading.local()

    def register_token(token):
        own.token = token
        return register(token)

    def execute(function, event):
        result = original(function, event)
        url = event.get("ResponseURL") if isinstance(event, dict) else None
        token = url.rpartition("/")[2] if isinstance(url, str) else None
        with custom_resource._lock:
            open_request = custom_resource._pending.get(token)
        is_own = token is not None and token == getattr(own, "token", None)
        if is_own and result.get("error") and open_request is not None and open_request["result"] is None:
            reason = "the function of the custom resource failed: {}".format(result.get("body"))
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": reason})
        return result

    custom_resource.register_token = register_token
    lambda_svc._execute_function_with_config_scope = execute


def main():
    try:
        installed = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    if installed != RELEASE:
        sys.exit(f"the local cloud must be ministack {RELEASE}, but {sys.prefix} has {installed}")
    # Imported before its parts, as it prepares what they need, e.g. logging.
    from ministack.app import main as serve

    wanted = ((module, name) for module, names in NAMES.items() for name in names)
    missing = [f"{module}.{name}" for module, name in wanted if not hasattr(importlib.import_module(module), name)]
    if missing:
        sys.exit(f"the local cloud cannot be corrected: ministack {installed} in {sys.prefix} has no {', '.join(missing)}")
    keep_attributes_in_nested_stacks()
    tag_buckets()
    end_failed_custom_resources()
    return serve()


if __name__ == "__main__":
    sys.exit(main())
