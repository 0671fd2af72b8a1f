// Replicate's JavaScript client at the API's own address.
import { createRequire } from "node:module";
import { join } from "node:path";

const Replicate = createRequire(join(process.env.NODE_MODULES_HOME, "x.js"))("replicate");
const [file] = await new Replicate().run("black-forest-labs/flux-schnell", {
  input: { prompt: "x", width: 16, height: 16 },
});
const bytes = Buffer.from(await (await file.blob()).arrayBuffer());
console.log(file.url().origin, file.constructor.name, bytes.toString("latin1", 1, 4));
