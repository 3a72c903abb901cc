// What the counterpart's routes come to is what was deployed, so a mistake in the debug stack's template is one there.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { dial } from "../../counterpart/client.mjs";
import { startCounterpart } from "../../counterpart/counterpart.mjs";

describe("the counterpart's routes", () => {
  let counterpart;

  before(async () => (counterpart = await startCounterpart()));
  after(() => counterpart?.close());

  test("what answers at $connect and hello is what was deployed, and a function is counted", async () => {
    for (const [Answers, routes] of [["mock", []], ["function", ["$connect", "hello"]], ["bare", ["$connect"]]]) {
      const from = counterpart.records.length;
      const client = await dial(counterpart, await counterpart.debugStack({ Answers }));
      if (Answers !== "bare") assert.equal((await client.hello()).connectionId, client.id);
      await counterpart.settled();
      assert.deepEqual(counterpart.recorded({ kind: "control" }, from).map(({ route }) => route), routes, Answers);
    }
  });

  describe("a mistake in what answers", () => {
    const response = "ResponseTemplates: { \"200\": '{\"connectionId\": \"$context.connectionId\", \"now\": \"$context.requestTimeEpoch\"}' }";
    const mistakes = [
      ["no request template", `RequestTemplates: { "200": '{"statusCode": 200}' }`, "", "$connect", /no request template 200/],
      ["a request template under another key", `RequestTemplates: { "200":`, `RequestTemplates: { "application/json":`, "$connect", /no request template 200/],
      ["a status that is no number", `RequestTemplates: { "200": '{"statusCode": 200}' }`, `RequestTemplates: { "200": '{"statusCode": "200"}' }`, "$connect", /statusCode should be an integer/],
      ["a request template that is no JSON", `RequestTemplates: { "200": '{"statusCode": 200}' }`, `RequestTemplates: { "200": '{statusCode: 200}' }`, "$connect", /statusCode should be an integer/],
      ["no response for the status", "IntegrationResponseKey: $default", "IntegrationResponseKey: /404/", "$connect", /no default endpoint response configured/],
      ["a response template under another key", response, response.replace('"200":', '"$default":'), "hello", /no response template 200/],
      ["a variable that there is not", "$context.connectionId", "$context.conectionId", "hello", /\$context.conectionId is none of/],
      ["a function of templates", "$context.connectionId", "$input.body", "hello", /does not know/],
      ["an expression without its backslash", 'TemplateSelectionExpression: "200"', 'TemplateSelectionExpression: "$default"', "$connect", /expression that is not known/],
    ];
    for (const [what, text, by, where, why] of mistakes) {
      test(what, async () => {
        const from = counterpart.records.length;
        const place = await counterpart.debugStack({ replace: [{ text, by }] });
        if (where === "$connect") {
          await assert.rejects(dial(counterpart, place), { status: 500 });
        } else {
          const client = await dial(counterpart, place);
          client.send('{"action":"hello"}');
          assert.equal(JSON.parse(await client.message()).message, "Internal server error");
        }
        const mistake = await counterpart.until({ kind: "misconfigured" }, { from });
        assert.deepEqual([mistake[0].route, why.test(mistake[0].why)], [where, true], mistake[0].why);
      });
    }

    test("no response of the route: nothing is said", async () => {
      const client = await dial(counterpart, await counterpart.debugStack({ replace: [{ text: "Condition: HasResponses", by: "Condition: ByFunction" }] }));
      client.send('{"action":"hello"}');
      client.send('{"action":"other"}');
      assert.equal(JSON.parse(await client.message()).message, "Forbidden");
    });

    test("nobody is to be let in without a signature", async () => {
      await assert.rejects(counterpart.debugStack({ replace: [{ text: "AuthorizationType: AWS_IAM", by: "AuthorizationType: NONE" }] }), /ConnectRoute/);
    });
  });
});
