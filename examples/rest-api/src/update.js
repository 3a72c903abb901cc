import { getNote, updateNote } from "./notes.js";
import { json, parseBody } from "./response.js";

export async function handler(event) {
  const { id } = event.pathParameters;
  const content = parseBody(event)?.content;
  if (typeof content !== "string") return json(400, { error: 'send a note as {"content": "…"}' });
  if (!(await getNote(id))) return json(404, { error: `there is no note ${id}` });
  return json(200, await updateNote(id, content));
}
