"""Lets an unchanged resource of a nested stack keep its attributes when the stack is updated."""

# What is replaced or used here, by module.
USES = {
    "ministack.services.cloudformation": ["_stacks"],
    "ministack.services.cloudformation.provisioners": ["_update_resource"],
}


def apply():
    """Looks up the attributes that `_update_resource` is called without.

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
