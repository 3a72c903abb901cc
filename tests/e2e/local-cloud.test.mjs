// What the local cloud is corrected for, as a user's own clients see it: browsers, WebSockets, AWS's SDKs in functions.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { Sst, clientOptions, copyApp, localClouds, repository, until } from "./support/sst.mjs";
import { launchChromium, require, servePage } from "./support/web.mjs";

const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const { GetObjectCommand, ListObjectsV2Command, S3Client } = require("@aws-sdk/client-s3");
const WebSocket = require("ws");

let directory;
let sst;
let page;
let origin;

before(async () => {
  page = await servePage();
  // Of the same site as the local cloud, or browsers would send it no cookies.
  origin = `http://127.0.0.1:${page.port}`;
  directory = copyApp("tests/fixtures/apps/local-cloud");
  // What Lambda's runtimes bring along is not installed, as in most apps.
  sst = await Sst.start(directory, [], { WEB_ORIGIN: origin });
});
after(async () => {
  await sst?.stop();
  page?.close();
  if (directory) fs.rmSync(directory, { recursive: true, force: true });
});

const output = (name) => sst.stackOutput(name);

/** Headers that say something about origins, by lower-case names. */
const corsOf = (response) => Object.fromEntries([...response.headers].filter(([name]) => name.startsWith("access-control-")));

describe("CORS", () => {
  const preflight = (url, from = origin) => {
    const headers = { origin: from, "access-control-request-method": "PUT", "access-control-request-headers": "x-own" };
    return fetch(url, { method: "OPTIONS", headers });
  };

  test("an HTTP API answers preflights by its `corsPreflight`, and tells what may be read of answers", async () => {
    const allowed = { "access-control-allow-origin": origin, "access-control-allow-credentials": "true", "access-control-expose-headers": "x-told" };
    const answer = await preflight(`${output("HttpApi")}new/there`);
    assert.equal(answer.status, 204);
    const methods = { "access-control-allow-methods": "GET,PUT", "access-control-allow-headers": "content-type,x-own" };
    assert.deepEqual(corsOf(answer), { ...allowed, ...methods });
    assert.deepEqual(corsOf(await fetch(`${output("HttpApi")}new/there`, { headers: { origin } })), allowed);
    // Of others nothing is said, and the request itself is answered all the same.
    assert.deepEqual(corsOf(await preflight(`${output("HttpApi")}new/there`, "http://localhost:1")), {});
    const other = await fetch(`${output("HttpApi")}new/there`, { headers: { origin: "http://localhost:1" } });
    assert.deepEqual([other.status, corsOf(other)], [200, {}]);
  });

  test("a REST API answers preflights by its `defaultCorsPreflightOptions`", async () => {
    const answer = await preflight(`${output("RestApi")}there`);
    assert.equal(answer.status, 204);
    const cors = corsOf(answer);
    assert.equal(cors["access-control-allow-origin"], origin);
    assert.equal(cors["access-control-allow-headers"], "x-own");
    assert.equal(cors["access-control-allow-credentials"], "true");
    assert.match(cors["access-control-allow-methods"], /\bPUT\b/);
  });

  test("a page in a browser reads what it may, with its cookies", async () => {
    const browser = await launchChromium();
    try {
      const tab = await browser.newPage();
      await tab.goto(`${origin}/`);
      const read = (url) =>
        tab.evaluate(async (url) => {
          const options = { method: "PUT", credentials: "include", headers: { "content-type": "application/json", "x-own": "1" }, body: "{}" };
          const answer = await fetch(url, options);
          return { status: answer.status, told: answer.headers.get("x-told"), event: await answer.json() };
        }, url);
      const { status, told, event } = await read(`${output("HttpApi")}new/page`);
      assert.deepEqual({ status, told, own: event.headers["x-own"] }, { status: 200, told: "yes", own: "1" });
      // The two that the first answer has set.
      assert.deepEqual((await read(`${output("HttpApi")}new/page`)).event.cookies.sort(), ["a=1", "b=2"]);
      await assert.rejects(
        tab.evaluate((url) => fetch(url, { method: "DELETE" }).then(({ status }) => status), `${output("HttpApi")}new/page`),
        /Failed to fetch/,
      );
    } finally {
      await browser.close();
    }
  });
});

describe("events", () => {
  const request = (url) =>
    fetch(url, {
      method: "POST",
      headers: [["Cookie", "one=1; two=2"], ["X-Many", "1"], ["X-Many", "2"], ["Content-Type", "text/plain"], ["User-Agent", "test"]],
      body: "hello",
    });
  const query = "?many=1&many=2&one=a%20b";
  const UTC = /^\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000$/;

  /** An event without what is another one each time, after a look at it. */
  function settled(event) {
    const { requestContext: context } = event;
    const epoch = context.timeEpoch ?? context.requestTimeEpoch;
    const text = context.time ?? context.requestTime;
    assert.match(text, UTC);
    // The same moment, in UTC.
    assert.equal(Date.parse(text.replace(/:/, " ").replace(/\//g, " ")), Math.floor(epoch / 1000) * 1000);
    assert.match(context.requestId, /^\S+$/);
    const kept = { ...context };
    for (const name of ["time", "timeEpoch", "requestTime", "requestTimeEpoch", "requestId", "extendedRequestId", "resourceId"]) delete kept[name];
    return { ...event, requestContext: kept };
  }

  /** The id of an API in one of its addresses. */
  const idOf = (url) => /\/_aws\/(?:execute-api|lambda-url)\/([^/]+)/.exec(url)[1];

  test("an HTTP API's are those of payload format 2.0", async () => {
    const api = output("HttpApi");
    const answer = await request(`${api}new/a/b${query}`);
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1; Path=/", "b=2"]);
    const { headers, ...event } = settled(await answer.json());
    const apiId = idOf(api);
    const domainName = `${apiId}.execute-api.us-east-1.amazonaws.com`;
    assert.deepEqual(event, {
      version: "2.0",
      routeKey: "ANY /new/{proxy+}",
      rawPath: "/new/a/b",
      rawQueryString: query.slice(1),
      cookies: ["one=1", "two=2"],
      queryStringParameters: { many: "1,2", one: "a b" },
      requestContext: {
        accountId: "000000000000",
        apiId,
        domainName,
        domainPrefix: apiId,
        http: { method: "POST", path: "/new/a/b", protocol: "HTTP/1.1", sourceIp: "127.0.0.1", userAgent: "test" },
        routeKey: "ANY /new/{proxy+}",
        stage: "$default",
      },
      body: "hello",
      pathParameters: { proxy: "a/b" },
      isBase64Encoded: false,
    });
    assert.equal(headers["x-many"].replace(" ", ""), "1,2");
    assert.equal(headers["content-length"], "5");
    assert.equal(headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(`${headers["x-forwarded-proto"]}://${headers.host}`, new URL(api).origin);
    assert.equal(headers["x-forwarded-port"], new URL(api).port);
    assert.match(headers["x-amzn-trace-id"], /^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/);
    assert.ok(!("cookie" in headers));
    assert.deepEqual(Object.keys(headers).filter((name) => name !== name.toLowerCase()), []);
  });

  test("stages have their variables and are in the path, and what is not there is left out", async () => {
    const event = await (await fetch(`${output("HttpApi").replace("$default", "named")}new/a`)).json();
    assert.deepEqual(event.stageVariables, { colour: "blue" });
    assert.equal(event.rawPath, "/named/new/a");
    assert.equal(event.requestContext.http.path, "/named/new/a");
    assert.equal(event.rawQueryString, "");
    for (const name of ["cookies", "queryStringParameters", "body"]) assert.ok(!(name in event), name);
    const bytes = await fetch(`${output("HttpApi")}new/a`, { method: "POST", body: new Uint8Array([255, 0]) });
    const { body, isBase64Encoded } = await bytes.json();
    assert.deepEqual({ body, isBase64Encoded }, { body: "/wA=", isBase64Encoded: true });
  });

  /** What the two kinds of events in format 1.0 have in common. */
  function assertV1({ headers, multiValueHeaders, ...event }, api, resource, path, stage) {
    assert.equal(event.resource, resource);
    assert.equal(event.path, path);
    assert.equal(event.httpMethod, "POST");
    assert.deepEqual(event.queryStringParameters, { many: "2", one: "a b" });
    assert.deepEqual(event.multiValueQueryStringParameters, { many: ["1", "2"], one: ["a b"] });
    assert.equal(event.body, "hello");
    assert.equal(event.isBase64Encoded, false);
    const { identity, ...context } = event.requestContext;
    const apiId = idOf(api);
    assert.deepEqual(context, {
      accountId: "000000000000",
      apiId,
      domainName: `${apiId}.execute-api.us-east-1.amazonaws.com`,
      domainPrefix: apiId,
      httpMethod: "POST",
      path: stage === "$default" ? path : `/${stage}${path}`,
      protocol: "HTTP/1.1",
      resourcePath: resource,
      stage,
    });
    assert.deepEqual({ sourceIp: identity.sourceIp, userAgent: identity.userAgent, user: identity.user }, { sourceIp: "127.0.0.1", userAgent: "test", user: null });
    const named = (found, name) => found[Object.keys(found).find((one) => one.toLowerCase() === name)];
    assert.equal(named(headers, "cookie"), "one=1; two=2");
    assert.deepEqual(named(multiValueHeaders, "cookie"), ["one=1; two=2"]);
    assert.match(named(headers, "x-amzn-trace-id"), /^Root=/);
    assert.equal(named(headers, "x-forwarded-port"), new URL(api).port);
  }

  test("an HTTP API's route may ask for format 1.0", async () => {
    const answer = await request(`${output("HttpApi")}old/7${query}`);
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1; Path=/", "b=2"]);
    const event = settled(await answer.json());
    assert.equal(event.version, "1.0");
    assert.deepEqual(event.pathParameters, { id: "7" });
    assert.equal(event.stageVariables, null);
    assertV1(event, output("HttpApi"), "/old/{id}", "/old/7", "$default");
  });

  test("a REST API's have all values, and headers by the names that they were sent with", async () => {
    const { default: http } = await import("node:http");
    const answer = await request(`${output("RestApi")}a/b${query}`);
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1; Path=/", "b=2"]);
    const event = settled(await answer.json());
    assert.ok(!("version" in event));
    assert.deepEqual(event.pathParameters, { proxy: "a/b" });
    assert.deepEqual(event.stageVariables, { colour: "red" });
    assertV1(event, output("RestApi"), "/{proxy+}", "/a/b", "prod");
    // Node's `fetch` sends names in lower case.
    const sent = await new Promise((resolve, reject) => {
      const headers = { "X-Many": ["1", "2"], Authorization: "Bearer a" };
      http.get(`${output("RestApi")}a`, { headers }, async (response) => resolve(JSON.parse(await new Response(response).text()))).on("error", reject);
    });
    assert.equal(sent.headers.Authorization, "Bearer a");
    assert.equal(sent.headers["X-Many"], "2");
    assert.deepEqual(sent.multiValueHeaders["X-Many"], ["1", "2"]);
  });

  test("a function URL's are those of payload format 2.0", async () => {
    const url = output("FunctionUrl");
    const answer = await request(`${url}a/b${query}`);
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1; Path=/", "b=2"]);
    const event = settled(await answer.json());
    assert.deepEqual(event.cookies, ["one=1", "two=2"]);
    assert.ok(!("cookie" in event.headers));
    assert.equal(event.rawQueryString, query.slice(1));
    assert.deepEqual(event.queryStringParameters, { many: "1,2", one: "a b" });
    assert.equal(event.rawPath, "/a/b");
    assert.equal(event.requestContext.stage, "$default");
    assert.equal(event.requestContext.domainPrefix, idOf(url));
  });
});

describe("answers", () => {
  test("of functions behind APIs may have a number for their body", async () => {
    for (const url of [`${output("HttpApi")}count`, output("CountRestApi")]) {
      const answer = await fetch(url);
      assert.deepEqual([answer.status, await answer.text()], [200, "3"], url);
    }
  });

  test("of functions that resolve fields for AppSync may be of any type, or errors", async () => {
    const headers = { "content-type": "application/json", "x-api-key": output("GraphKey") };
    const ask = async (query) => (await fetch(output("GraphUrl"), { method: "POST", headers, body: JSON.stringify({ query }) })).json();
    const data = { digits: "12", list: ["a", "b"], number: 3, note: { text: "hello" } };
    assert.deepEqual(await ask("{ digits list number note { text } }"), { data });
    const broken = await ask("{ digits broken { text } }");
    assert.deepEqual(broken.data, { digits: "12", broken: null });
    const [{ message, errorType, path }] = broken.errors;
    assert.deepEqual({ message, errorType, path }, { message: "there is no broken", errorType: "Lambda:Unhandled", path: ["broken"] });
  });
});

describe("who has signed in", () => {
  /** What Cognito answers. The signature is in the header because all but a few operations want one. */
  async function cognito(operation, body) {
    const headers = {
      "x-amz-target": `AWSCognitoIdentityProviderService.${operation}`,
      "content-type": "application/x-amz-json-1.1",
      authorization: "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cognito-idp/aws4_request, SignedHeaders=host, Signature=0",
    };
    return (await fetch(sst.session().endpoint, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  test("is let in by an authorizer of an HTTP API, and nobody else", async () => {
    const [UserPoolId, ClientId, Username, Password] = [output("PoolId"), output("ClientId"), "somebody@example.com", "Passw0rd!"];
    await cognito("AdminCreateUser", { UserPoolId, Username });
    await cognito("AdminSetUserPassword", { UserPoolId, Username, Password, Permanent: true });
    const AuthParameters = { USERNAME: Username, PASSWORD: Password };
    const { AuthenticationResult } = await cognito("InitiateAuth", { ClientId, AuthFlow: "USER_PASSWORD_AUTH", AuthParameters });
    const read = (authorization) => fetch(`${output("HttpApi")}private`, { headers: authorization ? { authorization } : {} });
    for (const kind of ["IdToken", "AccessToken"]) {
      const token = AuthenticationResult[kind];
      const answer = await read(`Bearer ${token}`);
      assert.equal(answer.status, 200, kind);
      const { claims } = (await answer.json()).requestContext.authorizer.jwt;
      assert.equal(claims.token_use, kind === "IdToken" ? "id" : "access");
      const [head, claimed, signature] = token.split(".");
      const forged = [head, claimed, Buffer.from(signature, "base64url").reverse().toString("base64url")].join(".");
      assert.equal((await read(`Bearer ${forged}`)).status, 401, kind);
    }
    assert.equal((await read()).status, 401);
  });
});

describe("addresses in outputs lead here", () => {
  test("of function URLs, which may stream", async () => {
    const answer = await fetch(output("StreamingUrl"));
    assert.deepEqual([answer.status, answer.headers.get("content-type"), await answer.text()], [201, "text/plain", "one, two"]);
  });

  test("of AppSync", async () => {
    const headers = { "content-type": "application/json", "x-api-key": output("GraphKey") };
    const answer = await fetch(output("GraphUrl"), { method: "POST", headers, body: '{"query":"{ __typename }"}' });
    assert.deepEqual(await answer.json(), { data: { __typename: "Query" } });
  });

  test("and so do those in variables of functions", async () => {
    const other = "https://abcdef0123.execute-api.us-east-1.amazonaws.com/prod";
    const expected = { url: "/there", http: "/new/there", rest: "/there", graph: { __typename: "Query" }, other };
    assert.deepEqual(await invoke("FetchingName"), expected);
  });
});

async function invoke(name) {
  const { Payload } = await new LambdaClient(clientOptions(sst)).send(new InvokeCommand({ FunctionName: output(name) }));
  return JSON.parse(Buffer.from(Payload));
}

describe("a chat", () => {
  /** A client, and what it has received. */
  async function join() {
    const socket = new WebSocket(output("SocketsUrl"));
    const received = [];
    socket.on("message", (text) => received.push(String(text)));
    await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
    const has = (text) => until(() => `${text} among ${received}\n${sst.output}`, () => received.includes(text));
    return { socket, received, has, send: (action, data) => socket.send(JSON.stringify({ action, data })) };
  }

  let first;
  let second;
  before(async () => ([first, second] = await Promise.all([join(), join()])));
  after(() => [first, second].forEach((client) => client?.socket.terminate()));

  test("has its messages posted with version 3 of the SDK, and answers by a route's response", async () => {
    first.send("sendmessage", "hello");
    await second.has("hello");
    await first.has(`sent to 1, connected since ${new Date().getUTCFullYear()}, GoneException`);
    second.send("sendmessage", "hello yourself");
    await first.has("hello yourself");
  });

  for (const [action, sdk] of [["sendmessage-v2", "version 2 of the SDK"], ["sendmessage-python", "boto3"]]) {
    test(`has its messages posted with ${sdk}`, async () => {
      first.send(action, `by ${action}`);
      await second.has(`by ${action}`);
      assert.ok(!first.received.includes(`by ${action}`));
    });
  }

  test("has its mocks answer with what their templates say", async () => {
    first.send("who", "me");
    const told = () => first.received.map((text) => text.startsWith('{"who"') && JSON.parse(text)).find(Boolean);
    await until("an answer of the mock", told);
    assert.match(told().who, /^[A-Za-z0-9+/=_-]{8,}$/);
    assert.deepEqual({ ...told(), who: "" }, { who: "", said: "me", at: "dev" });
  });

  test("has its messages posted by Go's own HTTP client, as by any program that trusts what the system does", async () => {
    first.send("sendmessage-go", "by Go");
    await first.has("by Go");
  });
});

describe("a deployment", () => {
  test("uploads the files of a site, with addresses that lead here", async () => {
    const s3 = new S3Client({ ...clientOptions(sst), forcePathStyle: true });
    const Bucket = output("SiteBucket");
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }));
    assert.deepEqual(Contents.map(({ Key }) => Key).sort(), ["www/config.json", "www/index.html", "www/nested/style.css"]);
    const read = (Key) => s3.send(new GetObjectCommand({ Bucket, Key }));
    const page = await read("www/index.html");
    assert.match(await page.Body.transformToString(), /hello/);
    assert.deepEqual([page.ContentType, page.CacheControl], ["text/html", "max-age=300"]);
    assert.deepEqual(JSON.parse(await (await read("www/config.json")).Body.transformToString()), { api: output("HttpApi") });
  });

  test("says which resources have no effect here", () => {
    for (const [type, id] of [["AWS::Logs::QueryDefinition", "Query\\w+"], ["AWS::WAFv2::WebACLAssociation", "Association"]]) {
      assert.match(sst.output, new RegExp(`warning: the local cloud has no \`${type}\`: \`${id}\` is deployed without any effect`));
    }
    assert.ok(output("QueryId"));
  });

  test("takes functions whose logical ids are as long as may be", async () => {
    assert.equal((await invoke("LongName")).statusCode, 200);
  });
});

test("a call of a stub is answered when it is answered", async () => {
  const release = /RELEASE = "(.*)"/.exec(fs.readFileSync(path.join(repository, "src/cloud/server.py"), "utf8"))[1];
  const place = localClouds().find((one) => path.basename(one).startsWith(`ministack-${release}`));
  const calls = path.join(repository, "tests/e2e/support/stub-calls.py");
  const temporary = path.join(directory, ".sst/stub-calls");
  fs.mkdirSync(temporary);
  const env = { ...process.env, TMPDIR: temporary, PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)(path.join(place, "bin/python"), [calls, path.join(repository, "src/cloud")], { env });
  const { sleeps, atOnce } = JSON.parse(stdout.trim().split("\n").pop());
  // Of a millisecond each: ministack itself has 50, and waits for an acknowledgement between the head and the body of an event.
  assert.ok(sleeps <= 2, `${sleeps} pauses`);
  assert.deepEqual(atOnce, [true]);
});
