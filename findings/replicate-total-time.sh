#!/usr/bin/env bash
# Package: all-the-public-replicate-models 1.352.0 (npm): each model with a default example, a real prediction.
# Expected: `metrics.total_time` covers the whole prediction, so it is at least `metrics.predict_time`.
# Found: of 3,745 predictions that have both, total_time is smaller in 317, and negative in 7.
# For users: kosmolua counts predict_time within bounds and never computes a queue time or a cost from total_time.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm pack --silent all-the-public-replicate-models@1.352.0 >/dev/null
tar xzf all-the-public-replicate-models-1.352.0.tgz package/models.json
seen=$(node -e '
  const models = JSON.parse(require("fs").readFileSync("package/models.json"));
  const times = models.map((model) => model.default_example?.metrics ?? {})
    .filter((one) => Number.isFinite(one.total_time) && Number.isFinite(one.predict_time));
  const smaller = times.filter((one) => one.total_time < one.predict_time).length;
  const negative = times.filter((one) => one.total_time < 0).length;
  console.log(`${times.length} predictions, total_time below predict_time in ${smaller}, negative in ${negative}`);
')
echo "all-the-public-replicate-models 1.352.0: $seen"
[ "$seen" = "3745 predictions, total_time below predict_time in 317, negative in 7" ]
