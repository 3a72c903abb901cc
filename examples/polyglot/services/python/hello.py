import os

from greetings import greeting


def handler(event, context):
    name = event.get("pathParameters", {}).get("name", "nobody")
    text = greeting(os.environ["GREETING"], name)
    print(text)
    return {"statusCode": 200, "body": text}
