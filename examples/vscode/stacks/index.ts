import type { App } from "aws-cdk-lib";

import { GreetingStack } from "./GreetingStack";

export default function main(app: App): void {
  new GreetingStack(app, "greeting");
}
