// Vercel AI SDK calls as its documentation shows them: pictures from a model, from a version, and from a picture.
import assert from "node:assert";
import { createRequire } from "node:module";
import { join } from "node:path";

const load = createRequire(join(process.env.NODE_MODULES_HOME, "x.js"));
const { createReplicate } = load("@ai-sdk/replicate");
const { generateImage } = load("ai");
const replicate = createReplicate({ baseURL: process.env.REPLICATE_URL });
const size = { replicate: { width: 32, height: 32 } };

async function check(name, model, options) {
  const { images } = await generateImage({ model: replicate.image(model), providerOptions: size, ...options });
  for (const image of images) {
    assert.deepEqual([image.mediaType, image.uint8Array.length > 100], ["image/png", true]);
  }
  console.log(name, images.length);
}

await check("model", "black-forest-labs/flux-schnell", { prompt: "a fox" });
await check("version", `stability-ai/sdxl:${process.argv[2]}`, { prompt: "a fox" });
await check("several", "black-forest-labs/flux-schnell", { prompt: "a fox", n: 2 });
await check("aspect", "black-forest-labs/flux-schnell", { prompt: "a fox", aspectRatio: "16:9", seed: 1 });
