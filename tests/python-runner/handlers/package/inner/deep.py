from .. import __name__ as parent


def handler(event, context):
    return [__name__, parent]
