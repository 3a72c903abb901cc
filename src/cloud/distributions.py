"""Serves CloudFront's distributions to browsers of this machine.

A distribution is called `{label}.cloudfront.net`, which resolves to AWS. Below `localhost` browsers look for nothing but this machine,
and a name of its own gives a site the root of a host, which paths in its pages count on.
"""

import re

# What is replaced or used here, by module.
USES = {
    "ministack.app": ["_CLOUDFRONT_HOST_RE"],
    "ministack.services.cloudformation.provisioners": ["_RESOURCE_HANDLERS"],
    "ministack.services.cloudfront": ["_check_viewer_protocol_policy", "find_distribution_for_label"],
}

_HOST = re.compile(r"^([a-z0-9]+)\.cloudfront\.(?:net|localhost)(?::\d+)?$")

# The user that an origin access identity is for policies.
_USER = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity "


def apply():
    from ministack import app as cloud
    from ministack.services import cloudfront
    from ministack.services.cloudformation import provisioners

    cloud._CLOUDFRONT_HOST_RE = _HOST
    # There is no certificate for such a name, so a redirect to `https`, which is what most sites ask for, would lead nowhere.
    cloudfront._check_viewer_protocol_policy = lambda *_, **__: None
    _admit_identities(provisioners._RESOURCE_HANDLERS)


def _admit_identities(handlers):
    """Has a bucket's policy admit the identity of a distribution, which the CDK gives by its canonical id.

    AWS keeps such a principal by its other name. ministack looks for that one only, so that the distribution gets no object.
    """
    names = {}
    identities, policies = (handlers[name] for name in ("AWS::CloudFront::CloudFrontOriginAccessIdentity", "AWS::S3::BucketPolicy"))

    def remembering(original):
        def handler(*arguments, **named):
            physical_id, attributes = original(*arguments, **named)
            names[attributes["S3CanonicalUserId"]] = _USER + physical_id
            return physical_id, attributes

        return handler

    def create(logical_id, props, *rest, **named):
        return create_policy(logical_id, _with_users(props, names), *rest, **named)

    def update(physical_id, old_props, new_props, *rest, **named):
        return update_policy(physical_id, old_props, _with_users(new_props, names), *rest, **named)

    for name in ("create", "update"):
        identities[name] = remembering(identities[name])
    create_policy, update_policy = policies["create"], policies["update"]
    policies.update(create=create, update=update)


def _with_users(props, names):
    document = props.get("PolicyDocument")
    statements = document.get("Statement") if isinstance(document, dict) else None
    if not isinstance(statements, list):
        return props
    statements = [_with_user(statement, names) for statement in statements]
    return {**props, "PolicyDocument": {**document, "Statement": statements}}


def _with_user(statement, names):
    principal = statement.get("Principal") if isinstance(statement, dict) else None
    if not isinstance(principal, dict) or "CanonicalUser" not in principal:
        return statement
    others = {kind: value for kind, value in principal.items() if kind != "CanonicalUser"}
    canonical, users = (_listed(value) for value in (principal["CanonicalUser"], others.pop("AWS", [])))
    users += [names[one] for one in canonical if one in names]
    unknown = [one for one in canonical if one not in names]
    kinds = {"AWS": users, "CanonicalUser": unknown}
    return {**statement, "Principal": {**others, **{kind: value for kind, value in kinds.items() if value}}}


def _listed(value):
    return list(value) if isinstance(value, list) else [value]
