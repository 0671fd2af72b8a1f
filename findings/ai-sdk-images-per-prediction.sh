#!/usr/bin/env bash
# Packages: ai 7.0.173 and @ai-sdk/replicate 3.0.46 (npm).
# Expected: `n: 3` asks for one prediction with `num_outputs: 3`, which the model offers.
# Found: it makes three predictions with `num_outputs: 1`. With `seed` all three get the same seed, so the three images are
#   the same picture, paid three times.
# For users: kosmolua sends the inputs as the script gives them: one `run` with `num_outputs = 3` is one prediction.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm init --yes >/dev/null && npm install --silent --no-audit ai@7.0.173 @ai-sdk/replicate@3.0.46
seen=$(node --input-type=module - <<'JAVASCRIPT'
import http from "node:http";
import { generateImage } from "ai";
import { createReplicate } from "@ai-sdk/replicate";

const inputs = [];
const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => { body += piece; });
  request.on("end", () => {
    inputs.push(JSON.stringify(JSON.parse(body).input));
    response.writeHead(201, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ id: "p1", status: "failed", error: "no", output: null, urls: {} }));
  });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const replicate = createReplicate({ apiToken: "unused", baseURL: `http://127.0.0.1:${server.address().port}/v1` });
const model = replicate.image("black-forest-labs/flux-schnell");
await generateImage({ model, prompt: "a boat", n: 3, seed: 7, maxRetries: 0 }).catch(() => {});
console.log(`${inputs.length} creates, each ${[...new Set(inputs)]}`);
server.closeAllConnections();
server.close();
JAVASCRIPT
)
echo "ai 7.0.173, @ai-sdk/replicate 3.0.46: $seen"
[ "$seen" = '3 creates, each {"prompt":"a boat","seed":7,"num_outputs":1}' ]
