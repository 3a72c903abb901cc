// The `context` object of a handler, made from the headers of `/invocation/next` and the environment.

/**
 * The parts of the context that are the same for every kind of handler.
 *
 * @param {Map<string, string>} headers of `/invocation/next`, names in lower case
 * @returns {object}
 */
export function contextData(headers) {
  const deadline = Number(headers.get("lambda-runtime-deadline-ms"));
  return {
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parseJson(headers.get("lambda-runtime-client-context"), "ClientContext"),
    identity: parseJson(headers.get("lambda-runtime-cognito-identity"), "CognitoIdentity"),
    invokedFunctionArn: headers.get("lambda-runtime-invoked-function-arn"),
    awsRequestId: headers.get("lambda-runtime-aws-request-id"),
    tenantId: headers.get("lambda-runtime-aws-tenant-id"),
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/**
 * Puts into the environment what belongs to this invocation only: the trace id, and the role's credentials where the
 * Runtime API sends them along.
 *
 * @param {Map<string, string>} headers of `/invocation/next`, names in lower case
 */
export function applyToEnvironment(headers) {
  const traceId = headers.get("lambda-runtime-trace-id");
  setOrDelete("_X_AMZN_TRACE_ID", traceId);

  const credentials = headers.get("sst-credentials");
  if (credentials) {
    const values = JSON.parse(credentials);
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]) {
      setOrDelete(name, values[name]);
    }
  }
}

function setOrDelete(name, value) {
  if (value) {
    process.env[name] = value;
  } else {
    delete process.env[name];
  }
}

function parseJson(text, name) {
  if (!text) {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}
