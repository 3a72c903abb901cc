import sys

LOADED = set(sys.modules)


def handler(event, context):
    return [name in LOADED for name in event["names"]]
