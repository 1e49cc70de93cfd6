// A process as of an application: it waits for a message, so that several begin at the same moment, and starts an agent.

import { waymark } from "@waymark/elizaos";
import { startRuntime, stopRuntime } from "./agent.mjs";

const options = JSON.parse(process.argv[2]);
process.send("ready");
await new Promise((resolve) => process.once("message", resolve));
try {
  const runtime = await startRuntime([waymark(options)]);
  const agents = await runtime.adapter.countAgents();
  await stopRuntime(runtime);
  process.send({ agents }, () => process.exit());
} catch (error) {
  process.send({ error: error.message }, () => process.exit(1));
}
