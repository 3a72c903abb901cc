"use strict";

// Takes the place of a package that is not installed and that nothing of a synthesis calls; see serverless-stack.mjs.
