export function json(statusCode, body) {
  return { statusCode, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** The request's JSON body; `undefined` where it is not JSON. API Gateway encodes some bodies in base64. */
export function parseBody(event) {
  const text = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : (event.body ?? "");
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
