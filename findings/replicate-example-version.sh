#!/usr/bin/env bash
# Package: all-the-public-replicate-models 1.352.0 (npm): each model with a default example, a real prediction.
# Expected: a model's `default_example` shows input that its `latest_version` accepts.
# Found: a quarter of the examples were made by another version. 117 have inputs that the schema next to them does not have,
#   and 31 lack one that it requires.
# For users: kosmolua checks inputs against the schema of the version that a call names; the page of `kosmo model` lists the
#   inputs of that schema. Do not copy `default_example.input` unchecked.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
npm pack --silent all-the-public-replicate-models@1.352.0 >/dev/null
tar xzf all-the-public-replicate-models-1.352.0.tgz package/models.json
seen=$(node -e '
  const models = JSON.parse(require("fs").readFileSync("package/models.json"));

  let other = 0, unknown = 0, lacking = 0;
  for (const { default_example: example, latest_version: version } of models) {
    const schema = version?.openapi_schema?.components?.schemas?.Input;
    if (!example || !schema?.properties) continue;
    const given = Object.keys(example.input);
    if (example.version !== version.id) other++;
    if (given.some((name) => !(name in schema.properties))) unknown++;
    if (example.status === "succeeded" && (schema.required ?? []).some((name) => !given.includes(name))) lacking++;
  }
  console.log(`${other} of another version, ${unknown} with unknown inputs, ${lacking} without a required one`);
')
echo "all-the-public-replicate-models 1.352.0: $seen"
[ "$seen" = "985 of another version, 117 with unknown inputs, 31 without a required one" ]
