// A client of the counterpart's WebSocket API and of `@connections` that can do what neither sst nor a stub would.

import crypto from "node:crypto";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

import { repository } from "../e2e/support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { SignatureV4 } = require("@smithy/signature-v4");

/** SHA-256 as the signer wants it. */
class Sha256 {
  constructor(secret) {
    this.hash = secret ? crypto.createHmac("sha256", secret) : crypto.createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return this.hash.digest();
  }
}

/** Signs for `execute-api`. */
export function signer(counterpart, { credentials = counterpart.credentials.tests, service = "execute-api", region = counterpart.region } = {}) {
  return new SignatureV4({ service, region, credentials, sha256: Sha256 });
}

/** A request for the signer. Everything goes straight to the server. */
function plain(counterpart, method, pathname, headers = {}, body = undefined) {
  return { method, protocol: "http:", hostname: "127.0.0.1", port: counterpart.port, path: pathname, query: {}, headers: { host: `127.0.0.1:${counterpart.port}`, ...headers }, body };
}

/** One signed request; `change` may change it after it was signed. Returns status, headers and body. */
export async function request(counterpart, method, pathname, { body = "", headers = {}, change = (signed) => signed, ...how } = {}) {
  const signed = change(await signer(counterpart, how).sign(plain(counterpart, method, pathname, headers, body)));
  return new Promise((resolve, reject) => {
    const options = { method, host: "127.0.0.1", port: counterpart.port, path: signed.path, headers: signed.headers, agent: false };
    const sent = http.request(options, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }));
    });
    sent.on("error", reject).end(signed.body);
  });
}

/** Dials a debug stack. Throws with `status` and `body` when the handshake is refused. */
export async function dial(counterpart, stack, { change = (target) => target, agent = "test", signingDate, ...how } = {}) {
  const pathname = `/_aws/execute-api/${stack.api}/${stack.stage}`;
  const signed = await signer(counterpart, how).presign(plain(counterpart, "GET", pathname), { expiresIn: 60, signingDate });
  const target = change(`${pathname}?${Object.entries(signed.query).map((pair) => pair.map(encode).join("=")).join("&")}`);
  const headers = {
    host: `127.0.0.1:${counterpart.port}`, connection: "Upgrade", upgrade: "websocket", "user-agent": agent,
    "sec-websocket-version": "13", "sec-websocket-key": crypto.randomBytes(16).toString("base64"),
  };
  return new Promise((resolve, reject) => {
    const asked = http.request({ host: "127.0.0.1", port: counterpart.port, path: target, headers, agent: false });
    asked.on("error", reject);
    asked.on("upgrade", (response, socket, head) => resolve(new Client(socket, head)));
    asked.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (data) => (text += data));
      response.on("end", () => reject(Object.assign(new Error(`${response.statusCode} ${text}`), { status: response.statusCode, body: text })));
    });
    asked.end();
  });
}

const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

/** A WebSocket, frame by frame. */
export class Client {
  /** Messages that have come and were not taken yet. */
  messages = [];
  pongs = 0;
  #rest = Buffer.alloc(0);
  #parts = [];
  #wake = () => {};

  constructor(socket, head) {
    this.socket = socket;
    this.closed = new Promise((resolve) => (this.tellClosed = resolve));
    socket.on("data", (data) => this.#data(data)).on("error", () => {});
    socket.on("close", () => this.tellClosed({ code: 1006, reason: "" }));
    if (head.length) this.#data(head);
  }

  #data(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (let frame; (frame = this.#frame()); ) {
      const { final, opcode, payload } = frame;
      if (opcode === 8) this.tellClosed({ code: payload.length >= 2 ? payload.readUInt16BE() : 1005, reason: payload.subarray(2).toString() });
      else if (opcode === 10) this.pongs++;
      else if (opcode !== 9) {
        this.#parts.push(payload);
        if (final) this.messages.push(Buffer.concat(this.#parts.splice(0)).toString());
      }
      this.#wake();
    }
  }

  #frame() {
    const rest = this.#rest;
    if (rest.length < 2) return undefined;
    let length = rest[1] & 127;
    let at = 2;
    if (length === 126) [length, at] = rest.length < 4 ? [Infinity, 4] : [rest.readUInt16BE(2), 4];
    else if (length === 127) [length, at] = rest.length < 10 ? [Infinity, 10] : [Number(rest.readBigUInt64BE(2)), 10];
    if (rest.length < at + length) return undefined;
    this.#rest = rest.subarray(at + length);
    return { final: (rest[0] & 128) !== 0, opcode: rest[0] & 15, payload: rest.subarray(at, at + length) };
  }

  /** Sends one frame. */
  send(data, { opcode = 1, final = true, masked = true } = {}) {
    const payload = Buffer.from(data);
    const length = payload.length;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
    head[0] = (final ? 128 : 0) | opcode;
    head[1] = length < 126 ? length : length < 65536 ? 126 : 127;
    if (head.length === 4) head.writeUInt16BE(length, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
    if (!masked) return this.socket.write(Buffer.concat([head, payload]));
    head[1] |= 128;
    const mask = crypto.randomBytes(4);
    return this.socket.write(Buffer.concat([head, mask, payload.map((byte, index) => byte ^ mask[index % 4])]));
  }

  /** The next message. */
  async message() {
    while (this.messages.length === 0) await new Promise((resolve) => (this.#wake = resolve));
    return this.messages.shift();
  }

  /** Asks for the connection's id. */
  async hello() {
    this.send(JSON.stringify({ action: "hello" }));
    const answer = JSON.parse(await this.message());
    this.id = answer.connectionId ?? this.id;
    return answer;
  }

  /** Waits until as many pongs have come. */
  async pong(count = 1) {
    while (this.pongs < count) await new Promise((resolve) => (this.#wake = resolve));
  }
}
