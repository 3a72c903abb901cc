// The same once more, in a local cloud that checks policies: the stub's has to be there before its events.

process.env.SST_E2E_ARGUMENTS = "--enforce-iam";
await import("../first-deployment.test.mjs");
