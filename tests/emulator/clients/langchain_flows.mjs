// LangChain calls in JavaScript as its documentation shows them: text and streams from a version.
import assert from "node:assert";
import { createRequire } from "node:module";
import { join } from "node:path";

const { Replicate } = createRequire(join(process.env.NODE_MODULES_HOME, "x.js"))("@langchain/community/llms/replicate");
const [model, version] = ["replicate/hello-world", process.argv[2]];
const llm = new Replicate({ model: `${model}:${version}`, promptKey: "text", maxRetries: 0 });
assert.equal(await llm.invoke("Ada"), "hello Ada");
console.log("invoke");
const found = new Replicate({ model: `${model}:${version}`, maxRetries: 0 });
assert.equal(await found.invoke("Ada"), "hello Ada");
console.log("schema");
let text = "";
const writer = new Replicate({ model: "meta/meta-llama-3-8b-instruct", promptKey: "prompt", maxRetries: 0 });
for await (const piece of await writer.stream("a lighthouse")) text += piece;
assert(text.split(" ").length > 5, text);
console.log("stream");
