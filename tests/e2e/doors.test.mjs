// Web pages get nothing from, and do nothing to, anything that `sst start --local` listens with, whoever sends their requests: a
// client that writes each byte by hand, or pages in a real browser. What a browser app uses works in the same browser.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, extraArguments } from "./support/sst.mjs";
import { FOREIGN, isRefusal, launchChromium, listeners, raw, require, servePage } from "./support/web.mjs";

const { InvokeCommand, LambdaClient, ListFunctionsCommand } = require("@aws-sdk/client-lambda");
const { CreateBucketCommand, GetObjectCommand, ListBucketsCommand, ListObjectsV2Command, PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const { ListQueuesCommand, SQSClient } = require("@aws-sdk/client-sqs");
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

const enforced = extraArguments().includes("--enforce-iam");

let directory;
let sst;
let browser;
// The app's own page, whose origin is `origin`, and those of others.
let pages;
let others;
let origin;
let lambda;
let s3;
let functions;

before(async () => {
  [pages, others] = await Promise.all([servePage(), servePage()]);
  origin = `http://localhost:${pages.port}`;
  directory = copyApp("tests/fixtures/apps/web");
  browser = await launchChromium();
  sst = await Sst.start(directory, [], { WEB_ORIGIN: origin });
  lambda = new LambdaClient(clientOptions(sst));
  s3 = new S3Client({ ...clientOptions(sst), forcePathStyle: true });
  await s3.send(new PutObjectCommand({ Bucket: sst.stackOutput("BucketName"), Key: "there", Body: "an object" }));
  functions = (await lambda.send(new ListFunctionsCommand({}))).Functions.length;
  // So that there are workers, and stubs with a Runtime API.
  assert.equal(await call("Node"), "node heard hello");
  assert.equal(await call("Python"), "python heard hello");
});
after(async () => {
  await browser?.close();
  await sst?.stop();
  pages?.close();
  others?.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

async function call(id) {
  const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${id}`), Payload: '{"text":"hello"}' }));
  return JSON.parse(Buffer.from(answer.Payload)).body;
}

/** A page in the browser, of the app or of others. */
async function open(host, { port }) {
  const page = await browser.newPage();
  await page.goto(`http://${host}:${port}/`);
  return page;
}

/** Every port that the program listens at, and its own name for those that have one. A Node worker's inspector is Node's to guard. */
async function ports() {
  const { inspector, flatInspector, debugAdapter, debugPorts, control, endpoint } = sst.session();
  const named = { inspector, flatInspector, debugAdapter, control, endpoint };
  const names = Object.entries(named).map(([name, address]) => [Number(address.split(":").pop()), name]);
  const known = new Map([...names, ...Object.entries(debugPorts).map(([name, port]) => [port, name])]);
  const found = [];
  for (const [pid, sockets] of listeners(sst.child.pid)) {
    const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
    const isCloud = command.includes("server.py");
    if (pid !== sst.child.pid && !isCloud) continue;
    for (const { port, address } of sockets) {
      assert.equal(address, "0100007F", `${command} listens at ${address}`);
      found.push({ port, name: known.get(port) ?? (isCloud ? "a stub's Runtime API" : "a worker's own port") });
    }
  }
  for (const [port, name] of known) assert.ok(found.some((listener) => listener.port === port), `${name} listens`);
  // A process that waits for its function knows its address already. Whoever connects there is heard when it has become a worker, at the same
  // doors as everybody else.
  const isServed = ({ port, name }) => name !== "a worker's own port" || fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000) }).then(() => true, () => false);
  const answers = await Promise.all(found.map(isServed));
  const served = found.filter((_, index) => answers[index]);
  for (const name of ["a stub's Runtime API", "a worker's own port"]) assert.ok(served.some((listener) => listener.name === name), name);
  return served;
}

/** What would do or tell something, wherever it is understood: method, path, body. */
async function requests() {
  const [{ id }] = await (await fetch(`http://${sst.session().inspector}/json/list`)).json();
  const bucket = sst.stackOutput("BucketName");
  const role = "arn:aws:iam::000000000000:role/intruder";
  const intruder = { FunctionName: "intruder", Runtime: "nodejs22.x", Handler: "index.handler", Role: role, Code: { ZipFile: "" } };
  const dap = JSON.stringify({ seq: 1, type: "request", command: "initialize", arguments: {} });
  return [
    ["POST", "/2015-03-31/functions", JSON.stringify(intruder)],
    ["POST", `/2015-03-31/functions/${sst.stackOutput("FunctionNode")}/invocations`, "{}"],
    ["POST", "/", "Action=CreateQueue&QueueName=intruder"],
    ["GET", "/?Action=CreateQueue&QueueName=intruder"],
    ["GET", "/"],
    ["GET", `/${bucket}`],
    ["GET", `/${bucket}/there`],
    ["POST", `/${bucket}/intruder`, "Action=CreateQueue&QueueName=intruder"],
    ["POST", "/_ministack/reset", "x"],
    ["GET", "/_ministack/lambda-code/000000000000/us-east-1/intruder"],
    ["GET", "/json/list"],
    ["GET", `/${id}`],
    ["GET", "/2018-06-01/runtime/invocation/next"],
    ["POST", "/2018-06-01/runtime/init/error", '{"errorType":"intruder"}'],
    ["POST", "/", `Content-Length: ${dap.length}\r\n\r\n${dap}`],
    ["POST", "/", '{"token":"guessed","function":"Node","event":"e30="}\n'],
  ];
}

/** Nothing has happened but what the tests themselves did. */
async function assertNothingHappened(from) {
  const { Functions } = await lambda.send(new ListFunctionsCommand({}));
  assert.deepEqual(Functions.filter(({ FunctionName }) => FunctionName === "intruder"), []);
  assert.equal(Functions.length, functions);
  const { QueueUrls = [] } = await new SQSClient(clientOptions(sst)).send(new ListQueuesCommand({}));
  assert.deepEqual(QueueUrls, []);
  assert.doesNotMatch(sst.output.slice(from), /REQUEST|ERROR|debugger is attached|cannot be debugged/);
  assert.equal(await call("Node"), "node heard hello");
  assert.equal(await call("Python"), "python heard hello");
}

describe("web pages", { concurrency: 6 }, () => {
  let from;
  before(() => (from = sst.output.length));
  after(() => assertNothingHappened(from));

  const own = (port) => [["Host", `127.0.0.1:${port}`]];
  const plain = ["Content-Type", "text/plain"];
  const fetched = (destination) => [["Sec-Fetch-Site", "cross-site"], ["Sec-Fetch-Mode", "no-cors"], ["Sec-Fetch-Dest", destination]];
  const upgrade = [["Connection", "Upgrade"], ["Upgrade", "websocket"], ["Sec-WebSocket-Version", 13], ["Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="]];
  const PROBES = {
    "a foreign Host": () => [["Host", FOREIGN], plain],
    "a foreign Origin": (port) => [...own(port), ["Origin", `http://${FOREIGN}`], ["Content-Type", "application/x-www-form-urlencoded"]],
    "another origin of this machine": (port) => [...own(port), ["Origin", `http://localhost:${others.port}`], plain],
    "no origin in particular": (port) => [...own(port), ["Origin", "null"], plain],
    rebinding: (port) => [["Host", `${FOREIGN}:${port}`], ["Origin", `http://${FOREIGN}:${port}`], plain],
    "a name that begins like one of ours": (port) => [["Host", `127.0.0.1.${FOREIGN}:${port}`], plain],
    "a simple POST": (port) => [...own(port), ["Origin", `http://${FOREIGN}`], ...fetched("empty"), plain],
    "an image": (port) => [...own(port), ...fetched("image"), ["Referer", `http://${FOREIGN}/`]],
    "an image that does not say from where": (port) => [...own(port), ...fetched("image")],
    "an image of an older browser": (port) => [...own(port), ["Referer", `http://${FOREIGN}/`]],
    "a WebSocket": (port) => [...own(port), ["Origin", `http://${FOREIGN}`], ...upgrade],
    "a WebSocket after rebinding": (port) => [["Host", `${FOREIGN}:${port}`], ["Origin", `http://${FOREIGN}:${port}`], ...upgrade],
    "Host twice": (port) => [...own(port), ["Host", FOREIGN], plain],
    "Host twice, the foreign one first": (port) => [["Host", FOREIGN], ...own(port), plain],
    "Origin twice": (port) => [...own(port), ["Origin", `http://127.0.0.1:${port}`], ["Origin", `http://${FOREIGN}`]],
    "Origin twice, with that of DevTools": (port) => [...own(port), ["Origin", "devtools://devtools"], ["Origin", `http://${FOREIGN}`], ...upgrade],
    "a host behind a name": () => [["Host", `localhost:80@${FOREIGN}`], plain],
    "a signature that is none": (port) => [
      ...own(port),
      ["Origin", `http://${FOREIGN}`],
      ["Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"],
      plain,
    ],
  };

  for (const [name, headers] of Object.entries(PROBES)) {
    test(`by hand: ${name}`, async () => {
      const [all, wanted] = [await ports(), await requests()];
      const sent = all.flatMap(({ port, name }) =>
        wanted.map(async ([method, path, body]) => {
          const answer = await raw(port, `${method} ${path}`, headers(port), body);
          return isRefusal(answer) ? [] : [`${name}: ${method} ${path}: ${answer?.slice(0, 200)}`];
        }),
      );
      assert.deepEqual((await Promise.all(sent)).flat(), []);
    });
  }

  test("by hand: permission to send anything", async () => {
    const [all, wanted] = [await ports(), await requests()];
    const asking = (port) => [
      ...own(port),
      ["Origin", `http://${FOREIGN}`],
      ["Access-Control-Request-Method", "POST"],
      ["Access-Control-Request-Headers", "authorization,content-type,x-amz-target"],
    ];
    const sent = all.flatMap(({ port, name }) =>
      wanted.map(async ([, path]) => {
        const answer = await raw(port, `OPTIONS ${path}`, asking(port));
        // What does not speak of origins permits nothing, whatever its status.
        return isRefusal(answer) || /^HTTP\/1\.[01] 501/.test(answer) ? [] : [`${name}: ${path}: ${answer?.slice(0, 200)}`];
      }),
    );
    assert.deepEqual((await Promise.all(sent)).flat(), []);
  });

  test("by hand: the WebSocket API of the debug stack, with a signature that is none", async () => {
    const endpoint = new URL(sst.session().endpoint);
    const authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/apigateway/aws4_request, SignedHeaders=host, Signature=00";
    const { items } = await (await fetch(new URL("/v2/apis", endpoint), { headers: { authorization } })).json();
    const ids = items.filter(({ protocolType, name }) => protocolType === "WEBSOCKET" && name !== "Sockets").map(({ apiId }) => apiId);
    assert.equal(ids.length, 1, JSON.stringify(items));
    const query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=other%2F20260101%2Fus-east-1%2Fexecute-api%2Faws4_request&X-Amz-Signature=00";
    for (const stage of ["dev", "debug", "$default", "prod"]) {
      const path = `/_aws/execute-api/${ids[0]}/${stage}`;
      const headers = [...own(endpoint.port), ["Origin", `http://${FOREIGN}`]];
      const opened = await raw(endpoint.port, `GET ${path}?${query}`, [...headers, ...upgrade]);
      assert.ok(isRefusal(opened), opened);
      const posted = await raw(endpoint.port, `POST ${path}/@connections/any`, [...headers, plain], "x");
      assert.match(posted, /^HTTP\/1\.1 403/);
    }
  });

  for (const host of ["127.0.0.1", "localhost", FOREIGN]) {
    test(`in a browser: a page from ${host}`, async () => {
      const page = await open(host, others);
      const [all, wanted] = [await ports(), await requests()];
      const inspector = wanted.map(([, path]) => path).find((path) => /^\/[0-9a-f-]{36}$/.test(path));
      assert.ok(inspector, "the inspector's id");
      const numbers = new Set(all.map(({ port }) => port));
      const answered = [];
      page.on("response", (response) => {
        if (numbers.has(Number(new URL(response.url()).port))) answered.push([response.status(), response.url()]);
      });
      const came = await page.evaluate(attack, { ports: [...numbers], wanted, inspector });
      assert.deepEqual(came, []);
      assert.ok(answered.length > 20, "there were answers");
      assert.deepEqual(answered.filter(([status]) => status < 400), []);
      await page.close();
    });
  }

  test("in a browser: pages under a name that was made to point here", async () => {
    const page = await browser.newPage();
    for (const { port, name } of await ports()) {
      for (const path of ["/json/list", "/2018-06-01/runtime/invocation/next", "/2015-03-31/functions"]) {
        const response = await page.goto(`http://${FOREIGN}:${port}${path}`).catch(() => undefined);
        assert.ok(response === undefined || response.status() >= 400, `${name}: ${path}: ${response?.status()}`);
      }
    }
    await page.close();
  });
});

/** Runs in the page: tries everything that a page can, and returns what it got. */
async function attack({ ports, wanted, inspector }) {
  const came = [];
  const settled = (action) => new Promise((resolve) => action(resolve));
  const attempts = [];
  for (const port of ports) {
    for (const [method, path, body] of wanted) {
      const url = `http://127.0.0.1:${port}${path}`;
      // Blind, as a form or an image is sent.
      attempts.push(() => fetch(url, { method, body, mode: "no-cors", credentials: "include" }).catch(() => {}));
      // In order to read it, and with a header for which the browser asks beforehand.
      for (const headers of [{}, { "content-type": "application/json", authorization: "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request" }]) {
        const read = async (response) => came.push(`${method} ${url}: ${response.status} ${await response.text()}`);
        attempts.push(() => fetch(url, { method, body, headers }).then(read, () => {}));
      }
      if (method !== "GET") continue;
      attempts.push(() => settled((resolve) => Object.assign(new Image(), { onload: resolve, onerror: resolve, src: url })));
      const script = Object.assign(document.createElement("script"), { src: url });
      attempts.push(() => settled((resolve) => document.head.append(Object.assign(script, { onload: resolve, onerror: resolve }))));
      // Chromium opens them one after the other.
      if (path.length > 1 && path !== inspector) continue;
      attempts.push(() =>
        settled((resolve) => {
          const socket = new WebSocket(url.replace("http:", "ws:"));
          socket.onopen = () => resolve(came.push(`WebSocket ${url}`));
          socket.onerror = resolve;
        }),
      );
    }
    const form = Object.assign(document.createElement("form"), { method: "post", enctype: "text/plain", action: `http://127.0.0.1:${port}/2015-03-31/functions`, target: `f${port}` });
    const frame = Object.assign(document.createElement("iframe"), { name: `f${port}`, hidden: true });
    document.body.append(form, frame);
    attempts.push(() =>
      settled((resolve) => {
        frame.onload = resolve;
        form.submit();
      }),
    );
  }
  await Promise.all(attempts.map((attempt) => attempt()));
  return came;
}

describe("a browser app", () => {
  let page;
  let foreign;
  let endpoint;

  before(async () => {
    endpoint = sst.session().endpoint;
    [page, foreign] = await Promise.all([open("localhost", pages), open("localhost", others)]);
  });

  /** What `fetch` gives a page. */
  const fetchIn = (page, url, options) =>
    page.evaluate(
      ([url, options]) => fetch(url, options).then(async (response) => `${response.status} ${await response.text()}`, (error) => error.message),
      [url, options],
    );
  const json = { method: "POST", body: "me", headers: { "content-type": "application/json", "x-own": "1" } };

  test("calls its API, whose preflights it answers itself", async () => {
    const url = `${endpoint}/_aws/execute-api/${sst.stackOutput("HttpApi")}/$default/say`;
    assert.equal(await fetchIn(page, url, json), "200 node heard me");
    assert.equal(await fetchIn(foreign, url, json), "Failed to fetch");
  });

  test("calls its function URL", async () => {
    const url = sst.stackOutput("FunctionUrl");
    const options = { ...json, headers: { "content-type": "application/json" } };
    assert.equal(await fetchIn(page, url, options), "200 node heard me");
    assert.equal(await fetchIn(foreign, url, options), "Failed to fetch");
  });

  test("connects to its WebSocket API", async () => {
    const url = `${endpoint.replace("http:", "ws:")}/_aws/execute-api/${sst.stackOutput("WebSocketApi")}/dev`;
    const said = await page.evaluate(
      (url) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url);
          socket.onopen = () => socket.send("me");
          socket.onmessage = ({ data }) => resolve(data);
          socket.onerror = () => resolve("an error");
        }),
      url,
    );
    assert.equal(said, "node heard me");
  });

  test("reads and writes objects by their signed addresses, as the bucket's rules say", async () => {
    const bucket = { Bucket: sst.stackOutput("BucketName") };
    const there = await getSignedUrl(s3, new GetObjectCommand({ ...bucket, Key: "there" }));
    assert.equal(await fetchIn(page, there), "200 an object");
    assert.equal(await fetchIn(foreign, there), "Failed to fetch");
    assert.match(await fetchIn(page, there.replace("/there?", "/other?")), /^(403 |Failed)/);
    const written = await getSignedUrl(s3, new PutObjectCommand({ ...bucket, Key: "written", ContentType: "text/plain" }));
    const put = { method: "PUT", body: "by a page", headers: { "content-type": "text/plain" } };
    assert.equal(await fetchIn(foreign, written, put), "Failed to fetch");
    assert.equal(await fetchIn(page, written, put), "200 ");
    const { Body } = await s3.send(new GetObjectCommand({ ...bucket, Key: "written" }));
    assert.equal(await Body.transformToString(), "by a page");
    // The address of a bucket, though, gives nothing.
    assert.match(await fetchIn(page, await getSignedUrl(s3, new ListObjectsV2Command(bucket))), /^(403 |Failed)/);
  });

  test("asks its GraphQL API", async () => {
    const url = `${endpoint}/v1/apis/${sst.stackOutput("GraphApi")}/graphql`;
    const headers = { "content-type": "application/json", "x-api-key": sst.stackOutput("GraphKey") };
    const answer = await fetchIn(page, url, { method: "POST", headers, body: JSON.stringify({ query: "{ __typename }" }) });
    assert.equal(answer, '200 {"data": {"__typename": "Query"}}');
  });

  test("has the AWS SDK beside it, with any key", async () => {
    const keys = enforced ? ["test"] : ["test", "AKIDANYTHING", "123456789012"];
    for (const accessKeyId of keys) {
      const options = { ...clientOptions(sst), credentials: { accessKeyId, secretAccessKey: "test" } };
      assert.ok((await new STSClient(options).send(new GetCallerIdentityCommand({}))).Arn, accessKeyId);
      const bucket = `made-by-${accessKeyId.toLowerCase()}`;
      const own = new S3Client({ ...options, forcePathStyle: true });
      await own.send(new CreateBucketCommand({ Bucket: bucket }));
      const { Buckets } = await own.send(new ListBucketsCommand({}));
      assert.ok(Buckets.some(({ Name }) => Name === bucket), accessKeyId);
    }
  });
});

describe("programs", () => {
  const signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00";
  /** The status that a request without anything of a browser gets, and whether pages are told that they may read the answer. */
  const send = async (line, headers, body) => {
    const { port, host } = new URL(sst.session().endpoint);
    const named = headers.some(([name]) => name === "Host") ? headers : [["Host", host], ...headers];
    const answer = await raw(port, line, named, body);
    assert.doesNotMatch(answer, /^access-control-/im);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)[1]);
  };
  const form = (action) => [[["Content-Type", "application/x-www-form-urlencoded"]], `Version=2011-06-15&Action=${action}`];

  test("sign what they send", async () => {
    assert.equal(await send("GET /2015-03-31/functions", [["Authorization", signature]]), 200);
    for (const authorization of ["Bearer a", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request"]) {
      assert.equal(await send("GET /2015-03-31/functions", [["Authorization", authorization]]), 403, authorization);
    }
    assert.equal(await send("GET /2015-03-31/functions", []), 403);
    assert.equal(await send("POST /", ...form("GetCallerIdentity")), 403);
    assert.equal(await send("POST /_ministack/reset", []), 403);
  });

  test("send unsigned what AWS takes unsigned", async () => {
    const ask = async (operation, body) => {
      const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": `AWSCognitoIdentityService.${operation}` };
      return (await fetch(sst.session().endpoint, { method: "POST", headers, body })).text();
    };
    // Let in, and refused for another reason.
    assert.match(await ask("GetId", '{"IdentityPoolId":"us-east-1:0"}'), /ResourceNotFound/);
    assert.match(await ask("ListIdentityPools", '{"MaxResults":1}'), /MissingAuthenticationToken/);
    assert.equal(await send("GET /_ministack/health", []), 200);
  });

  test("use the names that the local cloud hands out, and no others", async () => {
    const [, , id] = new URL(sst.stackOutput("FunctionUrl")).pathname.split("/").slice(1);
    const host = `${id}.lambda-url.us-east-1.on.aws`;
    const bucket = sst.stackOutput("BucketName");
    assert.equal(await send("POST /", [["Host", host]], "me"), 200);
    assert.equal(await send("POST /", [["Host", host.replace(".on.aws", `.${FOREIGN}`)]], "me"), 403);
    assert.equal(await send("GET /there", [["Host", `${bucket}.s3.amazonaws.com`], ["Authorization", signature.replace("/lambda/", "/s3/")]]), 200);
    assert.equal(await send("GET /there", [["Host", `${bucket}.s3.${FOREIGN}`], ["Authorization", signature.replace("/lambda/", "/s3/")]]), 403);
    assert.equal(await send("GET /there", [["Host", "other.s3.amazonaws.com"], ["Authorization", signature.replace("/lambda/", "/s3/")]]), 403);
  });
});
