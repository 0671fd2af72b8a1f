#!/usr/bin/env bash
# Packages: @langchain/community 1.1.29, @langchain/core 1.4.0 and replicate 1.4.0 (npm).
# Expected: a prediction that was canceled raises an error, and an output that is an object is refused or given as JSON.
# Found: the answer of the language model is the text "null", or "[object Object]".
# For users: `run` of kosmolua raises `prediction_failed` for a canceled prediction and returns an object as a table;
#   docs/official-clients.md names both differences.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --legacy-peer-deps @langchain/community@1.1.29 @langchain/core@1.4.0 replicate@1.4.0
seen=$(node --input-type=module - <<'JAVASCRIPT'
import http from "node:http";
import { Replicate } from "@langchain/community/llms/replicate";

let end;
const server = http.createServer((request, response) => {
  const urls = { get: "https://api.replicate.com/v1/predictions/p1" };
  const prediction = { id: "p1", model: "owner/name", version: "v", input: {}, error: null, urls, ...end };
  response.writeHead(201, { "Content-Type": "application/json" }).end(JSON.stringify(prediction));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const direct = globalThis.fetch; // LangChain's class has no option for the address of the API
const local = `http://127.0.0.1:${server.address().port}`;
globalThis.fetch = (url, options) => direct(String(url).replace("https://api.replicate.com", local), options);

const model = new Replicate({ model: "owner/name", apiKey: "unused", promptKey: "prompt", maxRetries: 0 });
for (end of [{ status: "canceled", output: null }, { status: "succeeded", output: { text: "a fox" } }]) {
  const answer = await model.invoke("hello").catch((error) => error);
  console.log(`${JSON.stringify(end)}: ${JSON.stringify(answer)}`);
}
server.closeAllConnections();
server.close();
JAVASCRIPT
)
echo "@langchain/community 1.1.29, replicate 1.4.0:"; echo "$seen"
[ "$seen" = '{"status":"canceled","output":null}: "null"
{"status":"succeeded","output":{"text":"a fox"}}: "[object Object]"' ]
