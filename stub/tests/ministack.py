"""Deploys the stub to ministack and plays the developer's machine. Usage: ministack.py <stub>."""

import base64, hashlib, io, json, os, queue, socket, subprocess, sys, tempfile, threading, time
import urllib.request, zipfile, zlib
from pathlib import Path

import botocore.session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping, RejectConnection, Request, TextMessage

WAIT = 20
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
BASE = f"http://127.0.0.1:{PORT}"
session = botocore.session.get_session()
session.set_credentials("test", "test")


def client(service, url=BASE):
    config = Config(read_timeout=60, retries={"max_attempts": 0})
    return session.create_client(service, region_name="us-east-1", endpoint_url=url, config=config)


class Socket:
    """A WebSocket connection as the relay has one. Its messages are in `messages`."""

    def __init__(self, path):
        request = AWSRequest("GET", BASE + path)
        SigV4QueryAuth(session.get_credentials(), "execute-api", "us-east-1").add_auth(request)
        self.messages, self.text = queue.Queue(), ""
        self.tcp = socket.create_connection(("127.0.0.1", PORT))
        self.protocol = WSConnection(ConnectionType.CLIENT)
        target = request.url[len(BASE):]
        self.tcp.sendall(self.protocol.send(Request(host=f"127.0.0.1:{PORT}", target=target)))
        threading.Thread(target=self.read, daemon=True).start()
        self.id = self.messages.get(timeout=WAIT)["connectionId"]

    def read(self):
        while data := self.tcp.recv(65536):
            self.protocol.receive_data(data)
            for event in self.protocol.events():
                if isinstance(event, AcceptConnection):
                    self.tcp.sendall(self.protocol.send(TextMessage(data='{"action":"hello"}')))
                elif isinstance(event, RejectConnection):
                    raise SystemExit(f"the handshake was refused: {event.status_code}")
                elif isinstance(event, Ping):
                    self.tcp.sendall(self.protocol.send(event.response()))
                elif isinstance(event, TextMessage):
                    self.text += event.data
                    if event.message_finished:
                        self.messages.put(json.loads(self.text))
                        self.text = ""

    def frame(self):
        """The next frame of a request that is not over. One that takes long is sent again."""
        while True:
            frame = self.messages.get(timeout=WAIT)["frame"]
            if frame["requestId"] not in over:
                return frame


# The requests that have been answered.
over = set()


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def inline(content):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = base64.b64encode(deflate.compress(content) + deflate.flush()).decode()
    return {"type": "inline", "data": data, "length": len(content)}


def allow(action, resource):
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def main(stub):
    iam, functions, tables, objects, apis = map(
        client, ["iam", "lambda", "dynamodb", "s3", "apigatewayv2"])
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    tables.create_table(
        TableName="registrations", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}])
    objects.create_bucket(Bucket="payload-bucket")
    control = ("exports.handler = async event => ({ statusCode: 200, "
               "body: JSON.stringify({ connectionId: event.requestContext.connectionId }) })")
    control = functions.create_function(
        FunctionName="control", Runtime="nodejs22.x", Handler="index.handler", Role=role,
        Code={"ZipFile": zipped("index.js", control)})["FunctionArn"]
    api = apis.create_api(
        Name="api", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")["ApiId"]
    target = "integrations/" + apis.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=control)["IntegrationId"]
    apis.create_route(ApiId=api, RouteKey="$connect", Target=target, AuthorizationType="AWS_IAM")
    hello = apis.create_route(
        ApiId=api, RouteKey="hello", Target=target, RouteResponseSelectionExpression="$default")["RouteId"]
    apis.create_route_response(ApiId=api, RouteId=hello, RouteResponseKey="$default")
    apis.create_stage(ApiId=api, StageName="dev", AutoDeploy=True)
    arn = f"arn:aws:execute-api:us-east-1:000000000000:{api}/dev"
    iam.put_role_policy(RoleName="role", PolicyName="stub", PolicyDocument=document(
        allow("execute-api:Invoke", f"{arn}/$connect"),
        allow("execute-api:ManageConnections", f"{arn}/POST/@connections/*"),
        allow("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:000000000000:table/registrations"),
        allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::payload-bucket/payloads/*")))
    path = f"/_aws/execute-api/{api}/dev"
    management = client("apigatewaymanagementapi", BASE + path)
    config = json.dumps({
        "v": 2, "f": "F", "s": "dev", "e": BASE.replace("http", "ws") + path, "m": BASE + path,
        "t": "registrations", "b": "payload-bucket", "r": "us-east-1"})
    # Each of them is an execution environment, which remembers who answered last.
    others = [(name, 20) for name in ["second", "third", "fourth", "fifth", "sixth"]]
    for name, timeout in [("function", 20), ("short", 3), *others]:
        functions.create_function(
            FunctionName=name, Runtime="provided.al2023", Handler="any", Role=role, Timeout=timeout,
            Environment={"Variables": {"SST_STUB": config, "FOO": "bar"}},
            Code={"ZipFile": zipped("bootstrap", Path(stub).read_bytes())})

    def register(connection, ttl=9_999_999_999, version=2, client="c", home="laptop"):
        tables.put_item(TableName="registrations", Item={
            "pk": {"S": "F"}, "connection": {"S": connection}, "client": {"S": client}, "home": {"S": home},
            "owner": {"S": "alice@laptop"}, "version": {"N": str(version)}, "ttl": {"N": str(ttl)}})

    def invoke(event, name="function"):
        event = event if isinstance(event, bytes) else json.dumps(event).encode()
        answer = functions.invoke(FunctionName=name, Payload=event)
        return answer.get("FunctionError"), answer["Payload"].read()

    def begin(event, name="function"):
        result = queue.Queue()
        threading.Thread(target=lambda: result.put(invoke(event, name)), daemon=True).start()
        return result

    def post(to, request, kind, **rest):
        frame = {"type": kind, "requestId": request["requestId"], **rest}
        management.post_to_connection(
            ConnectionId=to["replyTo"], Data=json.dumps({"v": 2, "frame": frame}).encode())

    def say(to, kind, speaker, client="c", **rest):
        post(to, to, kind, **{"from": {"client": client, "connection": speaker.id}}, **rest)

    def reply(to, content, kind="returned", **rest):
        body = content if isinstance(content, dict) else inline(content)
        over.add(to["requestId"])
        post(to, to, "reply", outcome={"type": kind, "body": body, **rest})

    def fails(result, error_type, text=""):
        error, body = result
        body = json.loads(body)
        assert error and body["errorType"] == error_type and text in body["errorMessage"], (error, body)

    # Nobody is there.
    error, body = invoke({"requestContext": {"http": {}}})
    assert error is None and json.loads(body)["statusCode"] == 503, body
    fails(invoke({"Records": []}), "Sst.NotRunning", "nobody is registered")
    relay = Socket(path)
    register(relay.id, ttl=1)
    fails(invoke({}), "Sst.NotRunning", "has not been heard of")
    register(relay.id, version=9)
    fails(invoke({}), "Sst.VersionMismatch", "redeploy:")
    register(relay.id)

    # A result, and an error, byte for byte.
    result = begin({"a": "\u00e4"})
    frame = relay.frame()
    assert frame["environment"]["FOO"] == "bar" and "SST_STUB" not in frame["environment"]
    say(frame, "ack", relay)
    reply(frame, b'{"z": 1, "a": 1e2}')
    error, body = result.get(timeout=WAIT)
    assert error is None and json.loads(body) == {"z": 1, "a": 100}, body
    result = begin({})
    reply(relay.frame(), b'{"errorType":"Mine","errorMessage":"boom"}', "failed", errorType="Mine")
    fails(result.get(timeout=WAIT), "Mine", "boom")

    # Through the bucket, both ways.
    large = json.dumps({"data": base64.b64encode(os.urandom(4_400_000)).decode()}).encode()
    result = begin(large)
    frame = relay.frame()
    stored = objects.get_object(Bucket="payload-bucket", Key=frame["event"]["key"])["Body"].read()
    assert stored == large and frame["event"]["sha256"] == hashlib.sha256(large).hexdigest()
    key = f"payloads/{frame['requestId']}/result"
    objects.put_object(Bucket="payload-bucket", Key=key, Body=large)
    reply(frame, {"type": "object", "key": key, "sha256": frame["event"]["sha256"], "length": len(large)})
    assert result.get(timeout=WAIT) == (None, large)

    # No acknowledgement: sent once more, on a connection that may be better; given up when the time is over.
    result = begin({})
    first, second = relay.frame(), relay.frame()
    assert (first["attempt"], second["attempt"]) == (1, 2) and first["requestId"] == second["requestId"]
    assert first["replyTo"] != second["replyTo"] and second["sentMs"] >= first["sentMs"] + 2_500
    assert first["patienceMs"] <= 4_000
    reply(second, b"1")
    assert result.get(timeout=WAIT) == (None, b"1")
    fails(invoke({}, "short"), "Sst.NotRunning", "alice@laptop does not answer")
    relay.frame()

    # The stub's connection is lost, during an invocation and between two. What was not acknowledged is asked for again.
    result = begin({})
    frame = relay.frame()
    say(frame, "working", relay, paused=False)
    management.delete_connection(ConnectionId=frame["replyTo"])
    for _ in range(2):
        moved = relay.frame()
        assert moved["type"] == "moved" and moved["requestId"] == frame["requestId"], moved
    reply(moved, b"2")
    assert result.get(timeout=WAIT) == (None, b"2")
    management.delete_connection(ConnectionId=moved["replyTo"])
    result = begin({})
    reply(relay.frame(), b"3")
    assert result.get(timeout=WAIT) == (None, b"3")

    # The client has gone, and comes back while the invocation waits.
    management.delete_connection(ConnectionId=relay.id)
    result = begin({})
    relay = Socket(path)
    register(relay.id)
    frame = relay.frame()
    say(frame, "ack", relay)
    reply(frame, b"5")
    assert result.get(timeout=WAIT) == (None, b"5")

    # It says on which connection it is to be asked; the table need not know.
    result = begin({})
    frame = relay.frame()
    other = Socket(path)
    say(frame, "working", other, paused=True)
    management.delete_connection(ConnectionId=frame["replyTo"])
    moved = other.frame()
    assert moved["type"] == "moved"
    reply(moved, b"6")
    assert result.get(timeout=WAIT) == (None, b"6")

    # Another client answers for the function now. The one that was registered says so; the next invocation knows.
    register(relay.id)
    result = begin({})
    frame = relay.frame()
    register(other.id, client="d", home="desktop")
    say(frame, "elsewhere", relay, by="bob@desktop")
    reply(other.frame(), b"7")
    assert result.get(timeout=WAIT) == (None, b"7")
    result = begin({})
    reply(other.frame(), b"8")
    assert result.get(timeout=WAIT) == (None, b"8")

    # One that may have got the request has to say that it does not run it, before another one gets it.
    register(relay.id)
    result = begin({}, "second")
    frame = relay.frame()
    register(other.id, client="d", home="desktop")
    moved = relay.frame()
    assert moved["type"] == "moved", moved
    say(moved, "unknown", relay)
    reply(other.frame(), b"9")
    assert result.get(timeout=WAIT) == (None, b"9")

    # Who has taken it answers, whoever is registered since.
    register(relay.id)
    result = begin({}, "third")
    frame = relay.frame()
    say(frame, "ack", relay)
    register(other.id, client="d", home="desktop")
    moved = relay.frame()
    assert moved["type"] == "moved", moved
    reply(moved, b"10")
    assert result.get(timeout=WAIT) == (None, b"10")

    # A client that starts where another one was means that that has ended.
    register(relay.id)
    result = begin({}, "fourth")
    frame = relay.frame()
    say(frame, "ack", relay)
    register(other.id, client="e")
    fails(result.get(timeout=WAIT), "Sst.Ended", "alice@laptop")
    over.add(frame["requestId"])
    register(relay.id)
    result = begin({}, "fifth")
    over.add(relay.frame()["requestId"])
    register(other.id, client="e")
    fails(result.get(timeout=WAIT), "Sst.Ended", "nobody knows")
    register(relay.id)
    result = begin({}, "sixth")
    frame = relay.frame()
    say(frame, "ack", relay)
    moved = relay.frame()
    say(moved, "unknown", relay)
    fails(result.get(timeout=WAIT), "Sst.Ended")

    # The client has a new connection.
    old, relay = relay, Socket(path)
    register(relay.id)
    for gone in [old, other]:
        management.delete_connection(ConnectionId=gone.id)
    result = begin({})
    frame = relay.frame()

    # A stream whose parts overtake one another.
    post(frame, frame, "chunk", seq=1, data=inline(b"world"))
    post(frame, frame, "chunk", seq=0, contentType="text/plain", data=inline(b"hello "))
    post(frame, frame, "end", seq=2)
    assert result.get(timeout=WAIT)[1].strip(b'"') == b"hello world"

    # The time runs out, and the next invocation is unharmed.
    result = begin({}, "short")
    frame = relay.frame()
    say(frame, "ack", relay)
    fails(result.get(timeout=WAIT), "Sandbox.Timedout", "Task timed out after 3.00 seconds")
    result = begin({}, "short")
    reply(relay.frame(), b"4")
    assert result.get(timeout=WAIT) == (None, b"4")

    # The client goes, and does not come back.
    management.delete_connection(ConnectionId=relay.id)
    fails(invoke({}, "short"), "Sst.NotRunning", "has lost its connection")

    # The debug stack goes.
    tables.delete_table(TableName="registrations")
    fails(invoke({}), "Sst.NotDeployed", "does not exist any more")


if __name__ == "__main__":
    environment = {
        "PATH": os.environ["PATH"], "AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(PORT),
        "MINISTACK_HOST": "localhost", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": BASE}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "ministack")], env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + WAIT
            while True:
                try:
                    urllib.request.urlopen(f"{BASE}/_ministack/health", timeout=2).read()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > until:
                        raise
                    time.sleep(0.05)
            main(sys.argv[1])
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
