#!/usr/bin/env bash
# Package: all-the-public-replicate-models 1.352.0 (npm): each model with a default example, a real prediction.
# Expected: created_at <= started_at <= completed_at.
# Found: of 3,808 predictions, 307 started before they were created, and 57 ended before they started.
# For users: a duration computed from two of these times can be negative. kosmolua uses metrics.predict_time, within
#   bounds, and measures waiting time with its own clock.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm pack --silent all-the-public-replicate-models@1.352.0 >/dev/null
tar xzf all-the-public-replicate-models-1.352.0.tgz package/models.json
seen=$(node -e '
  const models = JSON.parse(require("fs").readFileSync("package/models.json"));

  const examples = models.map((model) => model.default_example).filter(Boolean);
  const after = (first, second) => examples.filter((one) => one[first] && one[second] && one[first] > one[second]).length;
  const early = after("created_at", "started_at"), ended = after("started_at", "completed_at");
  console.log(`${examples.length} predictions: ${early} started before they were created, ${ended} ended before they started`);
')
echo "all-the-public-replicate-models 1.352.0: $seen"
[ "$seen" = "3808 predictions: 307 started before they were created, 57 ended before they started" ]
