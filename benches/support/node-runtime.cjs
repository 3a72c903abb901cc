// The least that runs a Node handler with a callback on Lambda's Runtime API. AWS's own client has to load more than this.
// usage: node-runtime.cjs FILE, which exports `main`.

const http = require("node:http");
const process = require("node:process");

const agent = new http.Agent({ keepAlive: true });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const { main } = require(process.argv[2]);

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path: `/2018-06-01/runtime/invocation/${path}`, agent }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part)).on("error", reject);
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(parts) }));
    });
    request.on("error", reject).end(body);
  });
}

async function serve() {
  for (;;) {
    const { headers, body } = await ask("GET", "next");
    const awsRequestId = headers["lambda-runtime-aws-request-id"];
    const getRemainingTimeInMillis = () => Number(headers["lambda-runtime-deadline-ms"]) - Date.now();
    const [error, result] = await new Promise((resolve) => {
      main(JSON.parse(body), { awsRequestId, getRemainingTimeInMillis }, (...outcome) => resolve(outcome));
    });
    const shown = error ? { errorType: error.name, errorMessage: error.message } : result;
    await ask("POST", `${awsRequestId}/${error ? "error" : "response"}`, JSON.stringify(shown ?? null));
  }
}

serve();
