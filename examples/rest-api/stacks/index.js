import { RestApiStack } from "./RestApiStack.js";

export default function main(app) {
  new RestApiStack(app, "rest-api", { stackName: app.logicalPrefixedName("stack") });
}
