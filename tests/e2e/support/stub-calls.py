"""Calls a program that is its own runtime, as the local cloud does, and prints how often that pauses for a call, and how it sends events.

It is run by the local cloud's own Python, with the directory of what corrects that.
"""

import http.server
import io
import json
import socket
import sys
import threading
import time
import zipfile

sys.path.insert(0, sys.argv[1])

import pauses  # noqa: E402
from ministack.core import lambda_runtime  # noqa: E402

PROGRAM = f"""#!{sys.executable}
import http.client
import os

connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    event = connection.getresponse()
    request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    connection.request("POST", f"/2018-06-01/runtime/invocation/{{request}}/response", event.read())
    connection.getresponse().read()
"""


def code():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        program = zipfile.ZipInfo("bootstrap")
        program.external_attr = 0o755 << 16
        archive.writestr(program, PROGRAM)
    return packed.getvalue()


sleeps, at_once = [], set()
sleep, setup = time.sleep, http.server.BaseHTTPRequestHandler.setup


def noted_sleep(seconds):
    if threading.current_thread() is threading.main_thread():
        sleeps.append(seconds)
    sleep(seconds)


def noted_setup(self):
    setup(self)
    at_once.add(self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)


pauses.apply()
arn = "arn:aws:lambda:us-east-1:000000000000:function:stub"
config = {"FunctionName": "stub", "FunctionArn": arn, "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 60}
worker = lambda_runtime.ProvidedWorker("stub", config, code())
time.sleep, http.server.BaseHTTPRequestHandler.setup = noted_sleep, noted_setup
try:
    for number in range(3):
        sleeps.clear()
        answer = worker.invoke({"number": number}, f"request-{number}")
        assert answer["result"] == {"number": number}, answer
finally:
    time.sleep = sleep
    worker.kill()
print(json.dumps({"sleeps": len(sleeps), "atOnce": sorted(at_once)}))
