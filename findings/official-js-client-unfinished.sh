#!/usr/bin/env bash
# Package: replicate 1.4.0 (npm), the official JavaScript client.
# Expected: `run` gives the output of the finished prediction, however long it takes.
# Found: by default `run` sends `Prefer: wait` and treats every status other than "starting" as finished. The API
#   holds a create for 60 seconds at most; a prediction that is "processing" then makes `run` return null at once. The
#   prediction continues and is paid, without a message. With `wait: {mode: "poll"}` the same answers give the output.
# For users: kosmolua's `run` waits until the status is terminal; docs/official-clients.md names this difference.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm init --yes >/dev/null && npm install --silent --no-audit replicate@1.4.0
seen=$(node --input-type=module - <<'JAVASCRIPT'
import http from "node:http";
import Replicate from "replicate";

const server = http.createServer((request, response) => {
  const created = request.method === "POST";
  const base = `http://127.0.0.1:${server.address().port}`;
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({
    id: "p1", status: created ? "processing" : "succeeded", output: created ? null : "a picture",
    urls: { get: `${base}/predictions/p1` },
  }));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const replicate = new Replicate({ auth: "unused", baseUrl: `http://127.0.0.1:${server.address().port}` });
console.log("default:", await replicate.run("owner/model", { input: {} }));
console.log("poll:", await replicate.run("owner/model", { input: {}, wait: { mode: "poll", interval: 10 } }));
server.closeAllConnections();
server.close();
JAVASCRIPT
)
echo "replicate 1.4.0 (npm):"; echo "$seen"
[ "$seen" = "default: null
poll: a picture" ]
