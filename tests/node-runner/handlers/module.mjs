import { readFile } from "node:fs/promises";

const text = await readFile(new URL(import.meta.url), "utf8");
export const handler = async () => text.includes("top level") || "an await at the top level";
