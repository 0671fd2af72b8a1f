// Let fetch of a program use HTTPS_PROXY: NODE_USE_ENV_PROXY=1 does this from Node.js 24 on.
import { createRequire } from "node:module";
import { join } from "node:path";

const { EnvHttpProxyAgent, setGlobalDispatcher } = createRequire(join(process.env.UNDICI_HOME, "x.js"))("undici");
setGlobalDispatcher(new EnvHttpProxyAgent());
