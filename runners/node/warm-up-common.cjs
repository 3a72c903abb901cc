// Loaded and run by a standby worker before it knows its function, so that the paths of a CommonJS handler are warm.
exports.handler = async (event) => ({ echo: event });
exports.callback = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  callback(null, { echo: event });
};
