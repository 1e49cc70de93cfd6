// A process that logs, and then ends without closing anything: by a signal, or since nothing is left to do.

import { randomUUID } from "node:crypto";
import { waymark } from "@waymark/elizaos";

const [way, file] = process.argv.slice(2);
const [agentId, entityId, roomId] = [randomUUID(), randomUUID(), randomUUID()];
const options = { url: `sqlite:${file}`, closeOnExit: true };
const adapter = waymark.adapter(options, agentId);
await adapter.createAgent({ id: agentId, name: "Ada" });
await adapter.createEntities([{ id: entityId, names: ["Ben"], metadata: {}, agentId }]);
await adapter.createRooms([{ id: roomId, source: "test", type: "DM" }]);

// Another one on the same connection, which is closed before.
const other = waymark.adapter(options, randomUUID());
await other.init();
await other.close();

await new Promise((resolve) => process.send(roomId, resolve));
process.disconnect();
if (way === "signal") setInterval(() => {}, 1_000);
for (let at = 0; at < 3; at++) adapter.log({ body: { at }, entityId, roomId, type: "test" });
if (way === "signal") process.kill(process.pid, "SIGTERM");
