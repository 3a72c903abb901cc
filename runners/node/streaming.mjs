// Streamed responses: what `awslambda.streamifyResponse` handlers write to.

import { Agent, request } from "node:http";

import { errorBody, runtimeError } from "./errors.mjs";

const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";

// `node:http` is used as it was before the function's code could patch it.
const httpRequest = request;

/** What handlers may use of the stream, as on Lambda: an ordinary writable stream, nothing of the request behind it. */
const METHODS = [
  ["cork", "destroy", "end", "uncork", "write", "setContentType"],
  ["addListener", "emit", "eventNames", "getMaxListeners", "listenerCount", "listeners", "off", "on", "once"],
  ["prependListener", "prependOnceListener", "rawListeners", "removeAllListeners", "removeListener", "setMaxListeners"],
].flat();
const SETTABLE = ["destroyed", "writable", "_onBeforeFirstWrite"];
const READABLE = [
  ["writableFinished", "writableObjectMode", "writableBuffer", "writableEnded", "writableNeedDrain"],
  ["writableHighWaterMark", "writableCorked", "writableLength"],
].flat();

/** The global `awslambda.HttpResponseStream`. */
export class HttpResponseStream {
  /**
   * Makes a stream carry a status and headers for an HTTP integration, ahead of the body.
   *
   * @param {object} stream a response stream
   * @param {object} prelude e.g. `{ statusCode, headers, cookies }`
   * @returns {object} the same stream
   */
  static from(stream, prelude) {
    stream.setContentType("application/vnd.awslambda.http-integration-response");
    const json = JSON.stringify(prelude);
    stream._onBeforeFirstWrite = (write) => {
      write(json);
      write(new Uint8Array(8));
    };
    return stream;
  }
}

/** The streams of one handler; they share a connection. */
export class ResponseStreams {
  #endpoint;
  #agent;

  /**
   * @param {{host: string, port: number, prefix: string}} endpoint of the Runtime API
   * @param {number} [highWaterMark] bytes that the connection takes in before `write` returns false
   */
  constructor(endpoint, highWaterMark) {
    this.#endpoint = endpoint;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1, highWaterMark });
  }

  /**
   * Begins the response of an invocation. Nothing is sent before the first write.
   *
   * @param {string} id the request id
   * @returns {{stream: object, done: Promise<void>, fail: (error: unknown) => Promise<void>}} `done` settles when the
   *   Runtime API has answered; `fail` ends the stream with an error and settles then too, and never rejects
   */
  begin(id) {
    const { host, port, prefix } = this.#endpoint;
    const outgoing = httpRequest({
      agent: this.#agent,
      host,
      port,
      path: `${prefix}/invocation/${encodeURIComponent(id)}/response`,
      method: "POST",
      headers: {
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        Trailer: [ERROR_TYPE, ERROR_BODY],
        "Content-Type": "application/octet-stream",
        "Transfer-Encoding": "chunked",
      },
    });
    const done = new Promise((resolve, reject) => {
      outgoing.once("response", (response) => {
        response.resume();
        response.once("end", resolve);
        response.once("error", reject);
      });
      outgoing.on("error", reject);
    });
    // Whoever does not wait for the end must not turn a broken connection into an unhandled rejection.
    done.catch(() => {});

    const fail = async (error) => {
      const body = errorBody(error);
      if (!outgoing.writableEnded) {
        outgoing.addTrailers({
          [ERROR_TYPE]: String(body.errorType).replace(/[^\x20-\x7e]/g, "?"),
          [ERROR_BODY]: Buffer.from(JSON.stringify(body)).toString("base64"),
        });
      }
      outgoing.end();
      await done.catch(() => {});
    };
    return { stream: writableOf(outgoing), done, fail };
  }
}

function writableOf(outgoing) {
  let written = false;
  outgoing.setContentType = (contentType) => {
    if (written) {
      throw runtimeError("InvalidStreamingOperation", "Cannot set content-type, too late.");
    }
    outgoing.setHeader("Content-Type", contentType);
  };
  const write = outgoing.write.bind(outgoing);
  outgoing.write = (chunk, encoding, callback) => {
    const data = typeof chunk === "string" || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    if (!written) {
      outgoing._onBeforeFirstWrite?.((prelude) => write(prelude));
    }
    written = true;
    return write(data, encoding, callback);
  };

  const stream = Object.fromEntries(METHODS.map((name) => [name, outgoing[name].bind(outgoing)]));
  for (const name of SETTABLE) {
    Object.defineProperty(stream, name, { get: () => outgoing[name], set: (value) => (outgoing[name] = value) });
  }
  for (const name of READABLE) {
    Object.defineProperty(stream, name, { get: () => outgoing[name] });
  }
  return stream;
}
