require("no-such-package"); exports.handler = () => {};
