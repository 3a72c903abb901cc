import type { SNSEvent } from "aws-lambda";

import type { Greeting } from "./greeting";

export async function handler(event: SNSEvent): Promise<void> {
  for (const { Sns } of event.Records) {
    const { name } = JSON.parse(Sns.Message) as Greeting;
    console.log(`${name} was greeted`);
  }
}
