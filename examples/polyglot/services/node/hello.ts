interface Event {
  pathParameters?: { name?: string };
}

export async function handler(event: Event) {
  const name = event.pathParameters?.name ?? "nobody";
  const text = `${process.env.GREETING}, ${name}, from Node`;
  console.log(text);
  return { statusCode: 200, body: text };
}
