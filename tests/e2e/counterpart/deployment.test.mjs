// A deployment goes on although CloudFormation is out of reach for a while.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

const faults = {
  "wants to be asked less": { error: "Throttling", status: 400, message: "Rate exceeded" },
  "does not answer": { cut: "before" },
  "fails": { error: "InternalFailure", status: 500 },
};

// Each needs a deployment of its own.
const tried = process.env.SST_FAULTS === "full" ? Object.entries(faults) : [["does not answer", faults["does not answer"]]];

describe("the debug stack is deployed although CloudFormation", () => {
  for (const [what, fault] of tried) {
    test(what, async () => {
      // More often than the SDK tries by itself, in the middle of following the deployment.
      const match = { service: "cloudformation", operation: "DescribeStacks", who: "developer" };
      const prepare = (counterpart) => counterpart.fault({ match, skip: 2, times: 5, ...fault });
      const deployed = await Deployed.start({ prepare });
      try {
        assert.deepEqual((await deployed.call("echo", { here: true })).value.event, { here: true });
        assert.equal(deployed.counterpart.recorded({ kind: "fault" }).length, 5);
      } finally {
        await deployed.close();
      }
    });
  }
});

test("whoever asks for FIPS and dual stack endpoints is answered where there is only one", async () => {
  const deployed = await Deployed.prepare();
  try {
    deployed.app = deployed.copy();
    deployed.sst = await deployed.serve({ env: { AWS_USE_FIPS_ENDPOINT: "true", AWS_USE_DUALSTACK_ENDPOINT: "true" } });
    assert.deepEqual((await deployed.call("echo", { here: true })).value.event, { here: true });
  } finally {
    await deployed.close();
  }
});
