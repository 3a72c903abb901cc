// A client of the Lambda Runtime API.
//
// It speaks HTTP/1.1 on a plain socket instead of using `node:http`, for three reasons: libraries that trace or record HTTP
// patch that module and would see our calls; a result is in the kernel's hands when the call returns, so that
// `context.succeed(x); process.exit()` answers as it does on Lambda; and there is less to do for each invocation.

import { connect } from "node:net";

import { errorBody, xrayCause } from "./errors.mjs";

const PREFIX = "/2018-06-01/runtime";

/**
 * The cause of an error travels twice, in the body and in a header for X-Ray. Only the header is left out when it is
 * large, so that no server refuses the request for it. In characters.
 */
const LONGEST_XRAY_CAUSE = 64 * 1024;

/** The client of one worker. */
export class RuntimeApi {
  #host;
  #port;
  #address;
  /** @type {Connection[]} */
  #idle = [];

  /** @param {string} address `host:port`, the value of `AWS_LAMBDA_RUNTIME_API` */
  constructor(address) {
    const colon = address.lastIndexOf(":");
    this.#host = address.slice(0, colon);
    this.#port = Number(address.slice(colon + 1));
    this.#address = address;
  }

  /** The address of the API, for other clients. */
  get endpoint() {
    return { host: this.#host, port: this.#port, prefix: PREFIX };
  }

  /** Opens a connection ahead of its use. */
  open() {
    this.#idle.push(new Connection(this.#host, this.#port));
  }

  /** Closes the connections that are not in use. */
  close() {
    this.#idle.splice(0).forEach((connection) => connection.close());
  }

  /**
   * Waits for the next invocation, without a time limit.
   *
   * @returns {Promise<{headers: Map<string, string>, body: string}>}
   */
  async next() {
    const { status, headers, body } = await this.#request("GET", "/invocation/next", "Sst-Runner: 1\r\n");
    if (status !== 200) {
      throw new Error(`asking for the next invocation was answered with status ${status}: ${body}`);
    }
    return { headers, body };
  }

  /**
   * Answers an invocation.
   *
   * @param {string} id the request id
   * @param {string} json the result
   * @returns {Promise<number>} the HTTP status: 202, or 413 when the result is too large
   */
  async respond(id, json) {
    const { status } = await this.#post(`/invocation/${encodeURIComponent(id)}/response`, "", json);
    return status;
  }

  /**
   * Reports that an invocation failed.
   *
   * @param {string} id the request id
   * @param {unknown} error whatever was thrown
   * @param {object} [body] the error in Lambda's shape, when it is not to be made from `error`
   * @returns {Promise<number>} the HTTP status; anything but 202 means that the invocation was answered before
   */
  async fail(id, error, body = errorBody(error)) {
    const cause = xrayCause(error);
    const header =
      cause && cause.length <= LONGEST_XRAY_CAUSE ? `Lambda-Runtime-Function-XRay-Error-Cause: ${cause}\r\n` : "";
    const { status } = await this.#post(`/invocation/${encodeURIComponent(id)}/error`, header, JSON.stringify(body));
    return status;
  }

  /**
   * Reports that the function cannot be loaded.
   *
   * @param {unknown} error whatever was thrown
   * @returns {Promise<number>} the HTTP status
   */
  async failInit(error) {
    const body = errorBody(error);
    // Names of error classes are up to the developer; what is not allowed in a header stays out of it.
    const type = String(body.errorType).replace(/[^\x20-\x7e]/g, "?");
    const header = `Lambda-Runtime-Function-Error-Type: ${type}\r\n`;
    const { status } = await this.#post("/init/error", header, JSON.stringify(body));
    return status;
  }

  #post(path, headers, body) {
    const length = Buffer.byteLength(body);
    return this.#request("POST", path, `${headers}Content-Type: application/json\r\nContent-Length: ${length}\r\n`, body);
  }

  async #request(method, path, headers, body = "") {
    const message = `${method} ${PREFIX}${path} HTTP/1.1\r\nHost: ${this.#address}\r\nUser-Agent: sst-node\r\n${headers}\r\n${body}`;
    let connection = this.#idle.pop();
    while (connection?.closed) {
      connection = this.#idle.pop();
    }
    const kept = connection !== undefined && connection.exchanges > 0;
    connection ??= new Connection(this.#host, this.#port);
    let response;
    try {
      response = await connection.exchange(message);
    } catch (error) {
      // A server may close a kept connection at any time, also in the moment in which it is used again.
      if (!kept) {
        throw error;
      }
      connection = new Connection(this.#host, this.#port);
      response = await connection.exchange(message);
    }
    if (connection.reusable(response)) {
      this.#idle.push(connection);
    } else {
      connection.close();
    }
    return response;
  }
}

/** One connection; one request at a time. It keeps the event loop alive only while an answer is awaited. */
class Connection {
  exchanges = 0;
  closed = false;
  #socket;
  #reader = new ResponseReader();
  #waiting;

  constructor(host, port) {
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.unref();
    this.#socket.on("data", (chunk) => this.#received(() => this.#reader.read(chunk)));
    this.#socket.on("end", () => this.#received(() => this.#reader.end()));
    this.#socket.on("error", (error) => this.#failed(error));
    this.#socket.on("close", () => {
      this.closed = true;
      this.#failed(Object.assign(new Error("the connection was closed before an answer came"), { code: "ECONNRESET" }));
    });
  }

  exchange(message) {
    this.#socket.ref();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(message);
    });
  }

  reusable(response) {
    // An answer that came before the request was sent in full leaves the connection in an unknown state.
    return !this.closed && !response.close && this.#socket.writableLength === 0;
  }

  close() {
    this.#socket.destroy();
  }

  #received(read) {
    let response;
    try {
      response = read();
    } catch (error) {
      this.#failed(error);
      this.close();
      return;
    }
    if (response && this.#waiting) {
      this.#socket.unref();
      this.exchanges += 1;
      this.#reader = new ResponseReader();
      const { resolve } = this.#waiting;
      this.#waiting = undefined;
      resolve(response);
    }
  }

  #failed(error) {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

/** Puts one HTTP/1.1 response together (RFC 9112). */
class ResponseReader {
  #rest = Buffer.alloc(0);
  #head;
  #body = [];
  /** Bytes still to come: of the body, or of the current chunk. */
  #missing = 0;
  #inLastChunk = false;

  /** Takes bytes; returns the response once it is complete. */
  read(bytes) {
    if (this.#head === undefined) {
      this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end === -1) {
        return undefined;
      }
      this.#head = parseHead(this.#rest.toString("utf8", 0, end));
      bytes = this.#rest.subarray(end + 4);
      this.#rest = Buffer.alloc(0);
      this.#missing = this.#head.chunked ? 0 : this.#head.length;
    }
    return this.#head.chunked ? this.#readChunks(bytes) : this.#readBody(bytes);
  }

  /** Told that the server closed the connection: that too can be the end of a response. */
  end() {
    return this.#head !== undefined && this.#missing === Infinity ? this.#response() : undefined;
  }

  #readBody(bytes) {
    if (bytes.length > 0) {
      this.#body.push(bytes);
      this.#missing -= bytes.length;
    }
    return this.#missing <= 0 ? this.#response() : undefined;
  }

  #readChunks(bytes) {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (;;) {
      if (this.#missing > 0) {
        const part = rest.subarray(0, this.#missing);
        this.#body.push(part);
        this.#missing -= part.length;
        rest = rest.subarray(part.length);
        if (this.#missing > 0) {
          this.#rest = Buffer.alloc(0);
          return undefined;
        }
      }
      const end = rest.indexOf("\r\n");
      if (end === -1) {
        this.#rest = rest;
        return undefined;
      }
      const line = rest.toString("latin1", 0, end);
      rest = rest.subarray(end + 2);
      if (this.#inLastChunk) {
        if (line === "") {
          return this.#response();
        }
      } else if (line !== "") {
        this.#missing = Number.parseInt(line, 16);
        if (Number.isNaN(this.#missing)) {
          throw new Error(`a chunk of the answer has no length: ${JSON.stringify(line)}`);
        }
        this.#inLastChunk = this.#missing === 0;
      }
    }
  }

  #response() {
    const { status, headers, close } = this.#head;
    return { status, headers, close: close || this.#missing === Infinity, body: Buffer.concat(this.#body).toString("utf8") };
  }
}

function parseHead(text) {
  const [statusLine, ...lines] = text.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) {
    throw new Error(`the answer is not HTTP/1.1: ${JSON.stringify(statusLine)}`);
  }
  const headers = new Map();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const length = headers.get("content-length");
  return {
    status,
    headers,
    close: headers.get("connection")?.toLowerCase() === "close",
    chunked: headers.get("transfer-encoding")?.toLowerCase() === "chunked",
    length: status === 204 ? 0 : length === undefined ? Infinity : Number(length),
  };
}
