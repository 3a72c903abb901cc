import { getNote } from "./notes.js";
import { json } from "./response.js";

export async function handler(event) {
  const { id } = event.pathParameters;
  const note = await getNote(id);
  return note ? json(200, note) : json(404, { error: `there is no note ${id}` });
}
