def handler(event, context):
    """Answers `GET /hello/{name}`. Save a change, and the next request runs it."""
    name = (event.get("pathParameters") or {}).get("name", "world")
    return {"statusCode": 200, "body": f"Hello, {name}!\n"}
