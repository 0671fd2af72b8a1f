// Run models with the official JavaScript client. Usage: node javascript_models.mjs FILE URL FOLDER, like python_models.py.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [file, baseUrl, folder] = process.argv.slice(2);
const Replicate = createRequire(`${folder}/`)("replicate");
const replicate = new Replicate({ auth: "r8_any", baseUrl });

function plain(value) {
  if (value instanceof ReadableStream) return "file";
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

for (const [reference, input] of JSON.parse(readFileSync(file, "utf8"))) {
  let shown;
  try {
    shown = { output: plain(await replicate.run(reference, { input, wait: { mode: "poll", interval: 20 } })) };
  } catch (error) {
    shown = { error: String(error).slice(0, 500) };
  }
  console.log(JSON.stringify(shown));
}
