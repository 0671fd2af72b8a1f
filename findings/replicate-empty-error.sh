#!/usr/bin/env bash
# Package: all-the-public-replicate-models 1.352.0 (npm): each model with a default example, a real prediction.
# Expected: the `error` of a prediction that succeeded is null.
# Found: it is the empty string in 17 of 3,806. An empty string is true in Lua, so `if prediction.error then` would take
#   a success for a failure.
# For users: kosmolua decides by `status` alone; docs/workflows.md tells scripts to do the same.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm pack --silent all-the-public-replicate-models@1.352.0 >/dev/null
tar xzf all-the-public-replicate-models-1.352.0.tgz package/models.json
seen=$(node -e '
  const models = JSON.parse(require("fs").readFileSync("package/models.json"));
  const done = models.map((model) => model.default_example).filter((one) => one?.status === "succeeded");
  const empty = done.filter((one) => one.error === "").length;
  console.log(`${done.length} succeeded, ${empty} of them with the error ""`);
')
echo "all-the-public-replicate-models 1.352.0: $seen"
[ "$seen" = '3806 succeeded, 17 of them with the error ""' ]
