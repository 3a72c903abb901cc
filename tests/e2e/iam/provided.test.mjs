// The same once more, in a local cloud that checks policies.

process.env.SST_E2E_ARGUMENTS = "--enforce-iam";
await import("../provided.test.mjs");
