#!/usr/bin/env bash
# Package: all-the-public-replicate-models 1.352.0 (npm): the input schemas of public models.
# Expected: the `maximum` of a 64-bit seed is 18446744073709551615.
# Found: four models say 18446744073709552000, which is the nearest double, and more than 64 bits can hold. A seed between
#   the two passes a check against the schema.
# For users: kosmolua keeps integers exact in both directions; a seed this large can still be refused by the model.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm pack --silent all-the-public-replicate-models@1.352.0 >/dev/null
tar xzf all-the-public-replicate-models-1.352.0.tgz package/models.json
seen=$(node -e '
  const models = JSON.parse(require("fs").readFileSync("package/models.json"));

  const text = require("fs").readFileSync("package/models.json", "utf8");
  const found = text.match(/"maximum": 18446744073709\d+/g) ?? [];
  console.log(`${found.length} inputs, ${[...new Set(found)]}`);
')
echo "all-the-public-replicate-models 1.352.0: $seen"
[ "$seen" = '4 inputs, "maximum": 18446744073709552000' ]
