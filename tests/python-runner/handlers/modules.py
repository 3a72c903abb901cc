import sys

LOADED = sorted(sys.modules)


def handler(event, context):
    return LOADED
