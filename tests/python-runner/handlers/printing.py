import logging

print("at load")
logging.warning("at load")


def handler(event, context):
    return 1
