import { listNotes } from "./notes.js";
import { json } from "./response.js";

export async function handler() {
  const notes = await listNotes();
  console.log(`${notes.length} notes`);
  return json(200, notes);
}
