"""Gives a bucket the tags of the template and of its stack."""

# What is replaced or used here, by module.
USES = {
    "ministack.services.cloudformation.provisioners": [
        "_STACK_TAG_PROPERTY",
        "_reconcile_tag_map",
        "_s3_apply_configurations",
    ],
    "ministack.services.s3": ["_bucket_tags"],
}


def apply():
    """Tags buckets where they are created and updated: all of these pass through `_s3_apply_configurations`.

    AWS does, and the CDK relies on it: before `autoDeleteObjects` empties a bucket that is to be deleted, it looks whether the
    bucket has the tag for that. ministack ignores the tags, so deleting the stack fails with "NoSuchTagSet".
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
