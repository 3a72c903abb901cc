// The developer's credentials expire while calls are open: they are said to be missing, and everything goes on when there are others.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

for (const tls of [undefined, "h2"]) {
  describe(`credentials that expire, over ${tls ?? "plain HTTP"}`, () => {
    let deployed;
    let given;
    /** What the profile's program gives from now on; nothing without credentials. */
    const give = (credentials) => {
      if (!credentials) return fs.rmSync(given);
      const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken } = credentials;
      fs.writeFileSync(`${given}.new`, JSON.stringify({ Version: 1, AccessKeyId, SecretAccessKey, SessionToken }));
      fs.renameSync(`${given}.new`, given);
    };

    before(async () => {
      deployed = await Deployed.prepare({ tls });
      const directory = deployed.directory("sst-profile-");
      given = path.join(directory, "credentials.json");
      give(deployed.counterpart.credentials.developer);
      fs.writeFileSync(path.join(directory, "config"), `[profile developer]\nregion = ${deployed.counterpart.region}\ncredential_process = cat ${given}\n`);
      const env = {
        AWS_CONFIG_FILE: path.join(directory, "config"), AWS_PROFILE: "developer",
        AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_SESSION_TOKEN: undefined,
      };
      deployed.app = deployed.copy();
      deployed.sst = await deployed.serve({ env });
    });
    after(() => deployed?.close());

    for (const round of [1, 2]) {
      test(`are missed once, and found when there are others (${round})`, async () => {
        const printed = deployed.sst.output.length;
        const running = await deployed.asleep(`running-${round}`);
        const answering = await deployed.asleep(`answering-${round}`);
        give(undefined);
        await deployed.counterpart.ask("expireCredentials", { who: "developer" });
        const from = deployed.counterpart.records.length;
        // What needs credentials: an answer, a connection, a registration, and a new call.
        answering.wake();
        await deployed.counterpart.network.client.set({ cut: true });
        await deployed.sst.waitFor(/there are no valid AWS credentials any more; .*\(.+\)/, printed);
        const meanwhile = deployed.call("count", { number: round });
        give(await deployed.counterpart.ask("renewCredentials", { who: "developer" }));
        const renewed = Date.now();
        assert.deepEqual((await answering.answer).value, { slept: `answering-${round}` });
        const { value, error, requestId } = await meanwhile;
        assert.equal(error, undefined, JSON.stringify(value));
        deployed.onlyOnce([requestId]);
        await deployed.sst.waitFor(/connected again after/, printed);
        running.wake();
        assert.deepEqual((await running.answer).value, { slept: `running-${round}` });
        console.log(`all was answered ${Date.now() - renewed} ms after the renewal`);
        assert.ok(Date.now() - renewed <= 20_000);
        const said = deployed.sst.output.slice(printed);
        assert.equal(said.match(/there are no valid AWS credentials any more/g).length, 1, said);
        assert.equal(said.match(/The AWS credentials are valid again/g).length, 1, said);
        assert.doesNotMatch(said, /cannot connect to the cloud/);
        assert.doesNotMatch(said, /could not be sent/);
        // A renewed registration, and signatures that are good again.
        await deployed.counterpart.until({ kind: "dynamodb" }, { from });
      });
    }
  });
}
