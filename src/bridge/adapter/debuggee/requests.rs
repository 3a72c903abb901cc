//! What a worker's debugger is asked.

/// Requests that are passed on. Others are a client's own, and some debuggers die of what they do not know.
pub(super) const PASSED_ON: [&str; 36] = [
    "breakpointLocations",
    "cancel",
    "completions",
    "continue",
    "dataBreakpointInfo",
    "disassemble",
    "evaluate",
    "exceptionInfo",
    "goto",
    "gotoTargets",
    "loadedSources",
    "modules",
    "next",
    "pause",
    "readMemory",
    "restartFrame",
    "reverseContinue",
    "scopes",
    "setBreakpoints",
    "setDataBreakpoints",
    "setExceptionBreakpoints",
    "setExpression",
    "setFunctionBreakpoints",
    "setInstructionBreakpoints",
    "setVariable",
    "source",
    "stackTrace",
    "stepBack",
    "stepIn",
    "stepInTargets",
    "stepOut",
    "threads",
    "variables",
    "writeMemory",
    "locations",
    "setDebuggerProperty",
];

/// Those after which the worker runs.
pub(super) const RESUMING: [&str; 8] =
    ["continue", "next", "stepIn", "stepOut", "stepBack", "reverseContinue", "restartFrame", "goto"];
