const turn = () => new Promise((resolve) => setTimeout(resolve, 2));

export const sync = () => {
  throw new TypeError("sync");
};
export const after = async () => {
  await turn();
  throw new TypeError("after");
};
export const caught = async () => {
  try {
    await after();
  } catch (error) {
    return error.message;
  }
};
