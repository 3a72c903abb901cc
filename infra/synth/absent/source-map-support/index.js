"use strict";

// Takes the place of a package that is not installed: what packs a site's files asks for it, for better stacks of errors; see
// serverless-stack.mjs.
exports.install = () => {};
