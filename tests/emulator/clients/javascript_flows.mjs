// The documented flows of the official JavaScript client. First argument: the server's URL, ending in /v1;
// second: the folder that contains node_modules/replicate.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const [baseUrl, home] = process.argv.slice(2);
const Replicate = createRequire(join(home, "package.json"))("replicate");
const replicate = new Replicate({ auth: "r8_any", baseUrl });

const VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa";
const HELLO = `replicate/hello-world:${VERSION}`;
const LLAMA = "meta/meta-llama-3-8b-instruct";
const FLUX = "black-forest-labs/flux-schnell";
const SDXL = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf";
const fetchOutput = (url) => fetch(url, { headers: { Authorization: "Bearer r8_any" } });

const flows = {
  async run() {
    assert.equal(await replicate.run(HELLO, { input: { text: "js" } }), "hello js");
    const [url] = await replicate.run(FLUX, { input: { prompt: "a fox" } });
    const answer = await fetchOutput(url);
    assert.equal(answer.headers.get("content-type"), "image/png");
    assert.equal(Buffer.from(await answer.arrayBuffer()).toString("latin1", 1, 4), "PNG");
  },
  async runWithPolling() {
    const seen = [];
    const options = { input: { text: "poll" }, wait: { mode: "poll", interval: 50 } };
    assert.equal(await replicate.run(HELLO, options, (one) => seen.push(one.status)), "hello poll");
    assert.deepEqual([seen[0], seen.at(-1)], ["starting", "succeeded"]);
  },
  async stream() {
    const events = [];
    for await (const event of replicate.stream(LLAMA, { input: { prompt: "a lighthouse", max_tokens: 12 } })) {
      events.push(event);
    }
    assert.match(events.map(String).join(""), /lighthouse/);
    assert.equal(events.at(-1).event, "done");
    assert.ok(events.every((event) => event.id || event.event === "done"));
  },
  async wait() {
    const prediction = await replicate.predictions.create({ version: VERSION, input: { text: "wait" } });
    assert.equal(prediction.status, "starting");
    assert.equal((await replicate.wait(prediction, { interval: 50 })).output, "hello wait");
    const blocking = await replicate.predictions.create({ version: VERSION, input: { text: "wait" }, wait: 10 });
    assert.equal(blocking.output, "hello wait");
  },
  async cancel() {
    const prediction = await replicate.predictions.create({ model: "minimax/video-01", input: { prompt: "slow" } });
    await replicate.predictions.cancel(prediction.id);
    assert.equal((await replicate.predictions.get(prediction.id)).status, "canceled");
  },
  async abort() {
    const controller = new AbortController();
    const seen = [];
    const options = { input: { prompt: "slow" }, wait: { mode: "poll", interval: 50 }, signal: controller.signal };
    const running = replicate.run("minimax/video-01", options, (one) => {
      seen.push(one.status);
      controller.abort();
    });
    await running.catch((error) => assert.equal(error.name, "AbortError"));
    assert.equal(seen[0], "starting");
  },
  async fail() {
    const { latest_version } = await replicate.models.get("kosmolua", "always-fails");
    const input = { message: "as planned" };
    await assert.rejects(replicate.run(`kosmolua/always-fails:${latest_version.id}`, { input }), /as planned/);
  },
  async files() {
    const content = new File(["a,b\n"], "t.csv", { type: "text/csv" });
    const file = await replicate.files.create(content, { n: 1 });
    assert.deepEqual([file.name, file.content_type, file.size, file.metadata], ["t.csv", "text/csv", 4, { n: 1 }]);
    assert.deepEqual((await replicate.files.get(file.id)).checksums, file.checksums);
    assert.ok((await replicate.files.list()).results.some((one) => one.id === file.id));
    assert.ok(await replicate.files.delete(file.id));
  },
  async fileAsInput() {
    const [url] = await replicate.run(FLUX, { input: { prompt: "x", width: 32, height: 32 } });
    const png = Buffer.from(await (await fetchOutput(url)).arrayBuffer());
    const { latest_version } = await replicate.models.get("nightmareai", "real-esrgan");
    const larger = await replicate.run(`nightmareai/real-esrgan:${latest_version.id}`, {
      input: { image: new Blob([png], { type: "image/png" }), scale: 2 },
    });
    assert.equal(Buffer.from(await (await fetchOutput(larger)).arrayBuffer()).readUInt32BE(16), 64);
  },
  async trainings() {
    const training = await replicate.trainings.create("stability-ai", "sdxl", SDXL, {
      destination: "emulator/my-sdxl",
      input: { input_images: "https://example.com/x.zip" },
    });
    const done = await until(async () => {
      const now = await replicate.trainings.get(training.id);
      return now.status === "succeeded" && now;
    });
    const trained = done.output.version;
    assert.match(trained, /^emulator\/my-sdxl:[0-9a-f]{64}$/);
    assert.ok((await replicate.trainings.list()).results.some((one) => one.id === training.id));
    const versions = await replicate.models.versions.list("emulator", "my-sdxl");
    assert.ok(versions.results.some((one) => trained.endsWith(one.id)));
    assert.equal((await replicate.run(trained, { input: { prompt: "a TOK" } })).length, 1);
  },
  async pages() {
    const create = () => replicate.predictions.create({ version: VERSION, input: { text: "page" } });
    for (let n = 0; n < 101; n += 1) await create();
    const ids = [];
    for await (const page of replicate.paginate(replicate.predictions.list)) ids.push(...page.map((one) => one.id));
    assert.ok(ids.length > 100);
    assert.equal(new Set(ids).size, ids.length);
  },
  async models() {
    const found = await replicate.models.search("image");
    assert.ok(found.results.some((model) => model.name === "flux-schnell"));
    assert.ok((await replicate.collections.get("text-to-image")).models.length);
    assert.equal((await replicate.hardware.list())[0].sku, "cpu");
    assert.equal((await replicate.accounts.current()).username, "emulator");
    assert.match((await replicate.webhooks.default.secret.get()).key, /^whsec_/);
    const options = { visibility: "private", hardware: "cpu" };
    assert.equal((await replicate.models.create("emulator", "from-js", options)).name, "from-js");
  },
  async deployments() {
    const config = { name: "js", model: "replicate/hello-world", version: VERSION, hardware: "cpu" };
    await replicate.deployments.create({ ...config, min_instances: 0, max_instances: 1 });
    const input = { text: "deployed" };
    const prediction = await replicate.deployments.predictions.create("emulator", "js", { input, wait: 10 });
    assert.equal((await replicate.wait(prediction, { interval: 50 })).output, "hello deployed");
    const changed = await replicate.deployments.update("emulator", "js", { max_instances: 2 });
    assert.equal(changed.current_release.number, 2);
    assert.ok((await replicate.deployments.list()).results.some((one) => one.name === "js"));
  },
  async errors() {
    await assert.rejects(replicate.models.get("nobody", "nothing"), /status 404/);
  },
};

async function until(look) {
  for (;;) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

for (const [name, flow] of Object.entries(flows)) {
  await flow();
  console.log(name);
}
