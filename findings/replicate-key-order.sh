#!/usr/bin/env bash
# Package: all-the-public-replicate-models 1.352.0 (npm): 3,808 documents as Replicate's API gives them.
# Expected: the properties of a model's input schema come in the order in which the model declares them.
# Found: in all 3,562 models with several inputs they come shortest name first, equal lengths by bytes (the order of
#   PostgreSQL's jsonb). Only "x-order" has the declared order.
# For users: `kosmo model`, stubs and completion sort inputs by x-order, never by their place in the document.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm pack --silent all-the-public-replicate-models@1.352.0 >/dev/null
tar xzf all-the-public-replicate-models-1.352.0.tgz package/models.json
seen=$(node -e '
  const models = JSON.parse(require("fs").readFileSync("package/models.json"));
  let several = 0, byLength = 0, byOrder = 0;
  for (const model of models) {
    const inputs = model.latest_version?.openapi_schema?.components?.schemas?.Input?.properties ?? {};
    const names = Object.keys(inputs);
    if (names.length < 2) continue;
    several += 1;
    const sorted = [...names].sort((a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)));
    byLength += sorted.every((name, place) => name === names[place]);
    const orders = names.map((name) => inputs[name]["x-order"]);
    byOrder += orders.every((order, place) => place === 0 || orders[place - 1] <= order);
  }
  console.log(`${several} models with several inputs, ${byLength} sorted by length, ${byOrder} in declared order`);
')
echo "all-the-public-replicate-models 1.352.0: $seen"
[ "$seen" = "3562 models with several inputs, 3562 sorted by length, 259 in declared order" ]
