/** Answers `GET /hello/{name}`. Save a change, and the next request runs it. */
export async function handler(event) {
  const name = event.pathParameters?.name ?? "world";
  return { statusCode: 200, body: `Hello, ${name}!\n` };
}
