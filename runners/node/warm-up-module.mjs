// Loaded and run by a standby worker before it knows its function, so that the paths of an ES module handler are warm.
export const handler = async (event) => ({ echo: event });
