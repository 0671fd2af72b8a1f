// Run a model with Replicate's JavaScript client and read the output file.
import { createRequire } from "node:module";
import { join } from "node:path";

const Replicate = createRequire(join(process.env.NODE_MODULES_HOME, "x.js"))("replicate");
const replicate = new Replicate({ auth: "x", baseUrl: process.env.REPLICATE_URL });
const [file] = await replicate.run("black-forest-labs/flux-schnell", { input: { prompt: "x", width: 16, height: 16 } });
const bytes = Buffer.from(await (await file.blob()).arrayBuffer());
console.log(file.constructor.name, String(file.url()).split(":")[0], bytes.toString("latin1", 1, 4));
