// One message of a user, and the answer. Each run is a process of its own.
//
//   node chat.mjs "My sister Nora lives in Lisbon."
//   node chat.mjs "Where does Nora live?"

import { randomUUID } from "node:crypto";
import { AgentRuntime, ChannelType, stringToUuid } from "@elizaos/core";
import { bootstrapPlugin } from "@elizaos/plugin-bootstrap";
import { waymark } from "@waymark/elizaos";
import { scriptedModel } from "./model.mjs";
import { rememberPlugin } from "./remember.mjs";

const [text = "Where does Nora live?"] = process.argv.slice(2);
const url = process.env.WAYMARK_URL ?? "sqlite:./agents.db";

const runtime = new AgentRuntime({
  character: { name: "Ada", bio: "Remembers what she is told." },
  plugins: [waymark({ url }), bootstrapPlugin, scriptedModel, rememberPlugin],
});
await runtime.initialize();

const [entityId, roomId, worldId] = ["user", "room", "world"].map((name) => stringToUuid(name));
const place = { entityId, roomId, worldId };
await runtime.ensureConnection({ ...place, userName: "ben", source: "demo", channelId: "demo", type: ChannelType.DM });

const message = {
  id: stringToUuid(randomUUID()),
  ...place,
  content: { text, source: "demo", channelType: ChannelType.DM },
};
await runtime.messageService.handleMessage(runtime, message, async ({ text: answer }) => {
  console.log(answer);
  return [];
});

await runtime.stop();
await runtime.close(); // writes the logs that wait
process.exit(); // ElizaOS has timers of half a minute
