// The AWS SDK for JavaScript v2 does not know AWS_ENDPOINT_URL, which all newer SDKs obey. Here it learns it.

import Module from "node:module";

/** The file of the package `aws-sdk` that makes what the package exports, however much of it is loaded. */
const CORE = /[\\/]node_modules[\\/]aws-sdk[\\/]lib[\\/]core\.js$/;

const adapted = new WeakSet();

/** Makes every copy of the SDK that will be loaded use the endpoint in the environment. */
export function useEndpoint() {
  if (endpoint() === undefined) {
    return;
  }
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (...values) {
    const result = compile.apply(this, values);
    if (isCore(this)) {
      adapt(this);
    }
    return result;
  };
}

/** The endpoint at this moment: a function may change it. */
function endpoint() {
  const { AWS_ENDPOINT_URL: url, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: ignored } = process.env;
  return ignored?.toLowerCase() === "true" ? undefined : url || undefined;
}

function isCore(module) {
  return CORE.test(module?.filename ?? "");
}

function adapt({ exports: AWS }) {
  const service = AWS?.Service?.prototype;
  if (typeof service?.initialize !== "function" || adapted.has(service)) {
    return;
  }
  adapted.add(service);
  const { initialize } = service;
  // What every client does with its options. The SDK's global configuration is left to the function.
  service.initialize = function (options) {
    const url = endpoint();
    const own = options?.endpoint || AWS.config[this.serviceIdentifier]?.endpoint || AWS.config.endpoint;
    if (own || url === undefined) {
      return initialize.call(this, options);
    }
    // Names of buckets, accounts, and kinds of calls are no part of the host, which would not be found.
    const s3ForcePathStyle = options?.s3ForcePathStyle ?? true;
    const hostPrefixEnabled = options?.hostPrefixEnabled ?? false;
    const result = initialize.call(this, { ...options, endpoint: url, s3ForcePathStyle, hostPrefixEnabled });
    if (this.serviceIdentifier === "sqs") {
      // Otherwise requests go to the host of their queue's URL, whatever the endpoint is.
      this.buildEndpoint = () => {};
    }
    return result;
  };
}
