// What is copied of the page to be used elsewhere: lines for a shell, and entries for an editor.

/** A word for a shell, whatever is in it. */
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A document on one line, if it is one. */
function compact(event) {
  try {
    return JSON.stringify(JSON.parse(event));
  } catch {
    return event;
  }
}

/** `sst invoke` with an event. */
export const asInvoke = (name, event) => `printf %s ${quoted(compact(event))} | npx sst invoke ${quoted(name)} --event -`;

/** curl with an event: the HTTP request that it stands for, if it does, else a call through the session's API. */
export function asCurl(name, event, { control, endpoints = [] }) {
  const request = requestOf(event, endpoints);
  if (request) return request;
  const address = `http://${control}/api/v1/functions/${encodeURIComponent(name)}/invoke`;
  // The token stays where only its owner can read it.
  const token = `--header "Authorization: Bearer $(jq -r .token .sst/session.json)"`;
  return `curl ${token} --data-binary ${quoted(compact(event))} ${quoted(address)}`;
}

/** Headers that the client makes itself, or that a gateway has added. */
const ADDED = /^(host|content-length|connection|accept-encoding|via|forwarded|x-forwarded-.*|x-amzn-.*|x-amz-cf-.*|cloudfront-.*)$/i;

function requestOf(event, endpoints) {
  let document;
  try {
    document = JSON.parse(event);
  } catch {
    return undefined;
  }
  const http = document?.requestContext?.http;
  const method = http?.method ?? document?.httpMethod;
  const path = document?.rawPath ?? document?.path;
  if (typeof method !== "string" || typeof path !== "string") return undefined;
  const host = document.requestContext?.domainName ?? document.headers?.host ?? document.headers?.Host;
  // A local cloud has its APIs below a path of its own, which only the stacks' outputs tell.
  const own = endpoints.find((endpoint) => endpoint.includes(document.requestContext?.apiId ?? "\0"));
  const base = own ?? endpoints.find((endpoint) => host && endpoint.includes(host)) ?? (host && `https://${host}`);
  if (!base) return undefined;
  const query = document.rawQueryString ?? new URLSearchParams(document.queryStringParameters ?? {}).toString();
  const words = ["curl", "--request", method];
  for (const [header, value] of Object.entries(document.headers ?? {})) {
    if (!ADDED.test(header)) words.push("--header", quoted(`${header}: ${value}`));
  }
  if (typeof document.body === "string" && document.body !== "") {
    if (document.isBase64Encoded) return [`printf %s ${quoted(document.body)} | base64 --decode |`, ...words, "--data-binary @-", quoted(addressOf(base, path, query))].join(" ");
    words.push("--data-binary", quoted(document.body));
  }
  return [...words, quoted(addressOf(base, path, query))].join(" ");
}

const addressOf = (base, path, query) => `${base.replace(/\/$/, "")}${path}${query ? `?${query}` : ""}`;

/** An entry for `launch.json` of VS Code that attaches to a function. */
export function asLaunchEntry({ id, language, debugPort }, { inspector, debugAdapter }) {
  const attach = (type, others) => JSON.stringify({ name: `Attach to ${id}`, type, request: "attach", ...others }, null, 2);
  const port = (address) => Number(address.split(":").pop());
  if (debugPort === undefined) {
    const others = { restart: true, continueOnAttach: true, autoAttachChildProcesses: false };
    return attach("node", { port: port(inspector), ...others, skipFiles: ["<node_internals>/**", "**/.sst/tool/**"] });
  }
  const host = "127.0.0.1";
  if (language === "python") return attach("debugpy", { connect: { host, port: debugPort } });
  if (language === "go") return attach("go", { mode: "remote", debugAdapter: "dlv-dap", host, port: debugPort });
  if (language === "java") return attach("java", { hostName: host, port: debugPort });
  return attach("node", { debugServer: port(debugAdapter) });
}
