import { PolyglotStack } from "./PolyglotStack.js";

export default function main(app) {
  new PolyglotStack(app, "polyglot", { stackName: app.logicalPrefixedName("stack") });
}
