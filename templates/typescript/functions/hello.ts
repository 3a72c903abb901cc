import type { APIGatewayProxyEventV2, APIGatewayProxyResultV2 } from "aws-lambda";

/** Answers `GET /hello/{name}`. Save a change, and the next request runs it. */
export async function handler(event: APIGatewayProxyEventV2): Promise<APIGatewayProxyResultV2> {
  const name = event.pathParameters?.name ?? "world";
  return { statusCode: 200, body: `Hello, ${name}!\n` };
}
