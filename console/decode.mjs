// What is inside of an event: services pack documents into strings of other documents, some of them in base64.

/** How deep it is looked for. */
const MOST_DEEP = 8;

/** Something that was a string: `how` says in which way. */
export class Decoded {
  constructor(how, value) {
    this.how = how;
    this.value = value;
  }
}

/** A value with everything in it decoded that can be, and whether anything was. */
export function decode(value) {
  let found = false;
  const visit = (value, owner, key, depth) => {
    if (depth > MOST_DEEP) return value;
    if (typeof value === "string") {
      const decoded = ofString(value, owner, key);
      if (!decoded) return value;
      found = true;
      return new Decoded(decoded.how, visit(decoded.value, undefined, undefined, depth + 1));
    }
    if (Array.isArray(value)) return value.map((one) => visit(one, value, undefined, depth + 1));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, visit(one, value, key, depth + 1)]));
  };
  return { value: visit(value, undefined, undefined, 0), found };
}

function ofString(text, owner, key) {
  const plain = isBase64(owner, key) ? textOf(text) : undefined;
  const document = documentIn(plain ?? text);
  if (document !== undefined) return { how: plain === undefined ? "JSON in a string" : "JSON in base64", value: document };
  return plain === undefined ? undefined : { how: "base64", value: plain };
}

/** Where services say that they use base64: bodies of HTTP, records of Kinesis, of Firehose and of Kafka. */
function isBase64(owner, key) {
  if (!owner || Array.isArray(owner)) return false;
  if (key === "body") return owner.isBase64Encoded === true;
  if (key === "data") return "partitionKey" in owner || "recordId" in owner || "messageID" in owner;
  return (key === "value" || key === "key") && "topic" in owner && "offset" in owner;
}

function textOf(base64) {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // It is not base64, or no text.
    return undefined;
  }
}

function documentIn(text) {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
