import { randomUUID } from "node:crypto";

import { PublishCommand, SNSClient } from "@aws-sdk/client-sns";

import { json } from "./response.js";

const sns = new SNSClient();

export async function handler() {
  const order = { id: randomUUID(), item: "a book", placedAt: new Date().toISOString() };
  await sns.send(new PublishCommand({ TopicArn: process.env.TOPIC_ARN, Message: JSON.stringify(order) }));
  console.log(`order ${order.id} is placed`);
  return json(200, { status: "placed", order });
}
