"""Functions in Python whose code is in their template: each call is a process of its own, with the credentials of the function's role."""

import asyncio
import json
import os
import sys

from web import Response

RUNNER = """
import json, sys, types
module = types.ModuleType("index")
event, code = json.loads(sys.stdin.read())
exec(compile(code, "index.py", "exec"), module.__dict__)
result = module.handler(event, None)
print("RESULT " + json.dumps(result))
"""


async def invoke(world, function, event):
    """Calls it, and answers as Lambda does."""
    role = function.configuration["role"].split("/")[-1]
    key = world.keys.mint(f"role/{role}", f"arn:aws:sts::{world.account}:assumed-role/{role}/{function.name}")
    environment = {
        "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": world.function_endpoint, "AWS_REGION": world.region, "AWS_DEFAULT_REGION": world.region,
        "AWS_ACCESS_KEY_ID": key["accessKeyId"], "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"], "AWS_SESSION_TOKEN": key["sessionToken"],
        **function.configuration["variables"],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment,
    )
    output, _ = await process.communicate(json.dumps([json.loads(event), function.configuration["inline"]]).encode())
    lines = output.decode().splitlines()
    world.record.add("inline", function=function.name, output=lines)
    if process.returncode == 0 and lines and lines[-1].startswith("RESULT "):
        return Response(200, lines[-1].removeprefix("RESULT "), content_type="application/json")
    body = json.dumps({"errorMessage": "\n".join(lines[-3:])})
    return Response(200, body, {"x-amz-function-error": "Unhandled"}, "application/json")
