import os

WHO = os.environ.get("WHO")


def handler(event, context):
    return {"at load": WHO, "now": os.environ.get("WHO")}
