// Make fetch use HTTPS_PROXY; from Node.js 24 on, NODE_USE_ENV_PROXY=1 does this.
import { createRequire } from "node:module";
import { join } from "node:path";

const { EnvHttpProxyAgent, setGlobalDispatcher } = createRequire(join(process.env.UNDICI_HOME, "x.js"))("undici");
setGlobalDispatcher(new EnvHttpProxyAgent());
