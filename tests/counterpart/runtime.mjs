// A runtime for tests of the counterpart itself: what a call does is what its event says.

import http from "node:http";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

function ask(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path: `/2018-06-01/runtime/${path}`, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    });
    request.on("error", reject).end(body);
  });
}

for (;;) {
  const { headers, body } = await ask("GET", "invocation/next");
  const id = headers["lambda-runtime-aws-request-id"];
  const event = JSON.parse(body);
  if (event.exit !== undefined) process.exit(event.exit);
  if (event.hang) await new Promise(() => setInterval(() => {}, 1000));
  if (event.fail) {
    const type = { "lambda-runtime-function-error-type": "Own" };
    await ask("POST", `invocation/${id}/error`, JSON.stringify({ errorType: "Own", errorMessage: event.fail }), type);
  } else if (event.respond) {
    await ask("POST", `invocation/${id}/response`, `"${"x".repeat(event.respond - 2)}"`);
  } else {
    const { AWS_ACCESS_KEY_ID, _HANDLER, AWS_LAMBDA_FUNCTION_NAME } = process.env;
    const arn = headers["lambda-runtime-invoked-function-arn"];
    const left = Number(headers["lambda-runtime-deadline-ms"]) - Date.now();
    await ask("POST", `invocation/${id}/response`, JSON.stringify({ pid: process.pid, id, arn, left, AWS_ACCESS_KEY_ID, _HANDLER, AWS_LAMBDA_FUNCTION_NAME }));
  }
}
