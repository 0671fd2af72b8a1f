#!/usr/bin/env bash
# Packages: ai 7.0.173 and @ai-sdk/replicate 3.0.46 (npm).
# Expected: a create whose answer is status 500 is not sent again: the prediction may exist, and each is paid.
# Found: generateImage sends it three times (`maxRetries` is 2), without checking the account's predictions.
# For users: kosmolua never sends a create again without looking for the first one. Set `maxRetries: 0` in the AI SDK;
#   docs/official-clients.md says so.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm init --yes >/dev/null && npm install --silent --no-audit ai@7.0.173 @ai-sdk/replicate@3.0.46
seen=$(node --input-type=module - <<'JAVASCRIPT'
import http from "node:http";
import { generateImage } from "ai";
import { createReplicate } from "@ai-sdk/replicate";

const creates = [];
const server = http.createServer((request, response) => {
  creates.push(request.method);
  response.writeHead(500, { "Content-Type": "application/json" }).end('{"detail": "internal error"}');
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const replicate = createReplicate({ apiToken: "unused", baseURL: `http://127.0.0.1:${server.address().port}/v1` });
for (const options of [{}, { maxRetries: 0 }]) {
  creates.length = 0;
  const model = replicate.image("black-forest-labs/flux-schnell");
  await generateImage({ model, prompt: "a lighthouse", ...options }).catch(() => {});
  console.log(`${JSON.stringify(options)}: ${creates.length} x ${creates[0]}`);
}
server.closeAllConnections();
server.close();
JAVASCRIPT
)
echo "ai 7.0.173, @ai-sdk/replicate 3.0.46:"; echo "$seen"
[ "$seen" = '{}: 3 x POST
{"maxRetries":0}: 1 x POST' ]
