// A registry on this machine that has only our packages: package managers ask it for those of our scope, and their usual one for all others.

import { createHash } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

/** Serves `packages`, each `{ manifest, file }` with its tarball. */
export class Registry {
  /** What was asked for, by path. */
  requests = [];
  #packages;
  #server;

  constructor(packages) {
    this.#packages = new Map(packages.map((one) => [one.manifest.name, one]));
  }

  static async start(packages) {
    const registry = new Registry(packages);
    registry.#server = http.createServer((request, response) => registry.#answer(request, response)).listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    registry.url = `http://127.0.0.1:${registry.#server.address().port}/`;
    return registry;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(request, response) {
    const asked = decodeURIComponent(new URL(request.url, this.url).pathname).slice(1);
    this.requests.push(asked);
    const tarball = [...this.#packages.values()].find(({ file }) => path.basename(file) === asked);
    if (tarball) return void response.end(fs.readFileSync(tarball.file));
    const found = this.#packages.get(asked);
    if (!found) return void response.writeHead(404).end("{}");
    const { manifest, file } = found;
    const integrity = `sha512-${createHash("sha512").update(fs.readFileSync(file)).digest("base64")}`;
    const dist = { tarball: `${this.url}${path.basename(file)}`, integrity };
    const versions = { [manifest.version]: { ...manifest, dist } };
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ name: manifest.name, "dist-tags": { latest: manifest.version }, versions }));
  }
}
