#!/usr/bin/env bash
# Packages: @langchain/community 1.1.29, @langchain/core 1.4.0 and replicate 1.4.0 (npm).
# Expected: a prediction that fails ends the call. Its input is the same the next time, and each attempt is paid.
# Found: LangChain treats the failure as a network error and runs the model again `maxRetries` times, 6 by default.
# For users: kosmolua never creates a second prediction by itself. In LangChain pass `maxRetries: 0`;
#   docs/official-clients.md says so.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --legacy-peer-deps @langchain/community@1.1.29 @langchain/core@1.4.0 replicate@1.4.0
seen=$(node --input-type=module - <<'JAVASCRIPT'
import http from "node:http";
import { Replicate } from "@langchain/community/llms/replicate";

let creates = 0;
const failed = {
  id: "p1", model: "owner/name", version: "v", input: {}, status: "failed", error: "CUDA out of memory", output: null,
  urls: { get: "https://api.replicate.com/v1/predictions/p1" },
};
const server = http.createServer((request, response) => {
  creates += request.method === "POST";
  response.writeHead(201, { "Content-Type": "application/json" }).end(JSON.stringify(failed));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const direct = globalThis.fetch; // LangChain's class has no option for the address of the API
const local = `http://127.0.0.1:${server.address().port}`;
globalThis.fetch = (url, options) => direct(String(url).replace("https://api.replicate.com", local), options);

for (const options of [{ maxRetries: 2 }, { maxRetries: 0 }]) {
  creates = 0;
  const model = new Replicate({ model: "owner/name", apiKey: "unused", promptKey: "prompt", ...options });
  const end = await model.invoke("a lighthouse").catch((error) => error.message);
  console.log(`${JSON.stringify(options)}: ${creates} predictions, ${end}`);
}
server.closeAllConnections();
server.close();
JAVASCRIPT
)
echo "@langchain/community 1.1.29, replicate 1.4.0:"; echo "$seen"
[ "$seen" = '{"maxRetries":2}: 3 predictions, Prediction failed: CUDA out of memory
{"maxRetries":0}: 1 predictions, Prediction failed: CUDA out of memory' ]
