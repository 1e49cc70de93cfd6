// A process with a plugin that has tables: it waits for a message, so that several begin at the same moment.

import { randomUUID } from "node:crypto";
import { waymark } from "@waymark/elizaos";
import { pgSchema, text, uuid } from "drizzle-orm/pg-core";

const entries = pgSchema("plugin_shared").table("entries", {
  id: uuid("id").primaryKey().defaultRandom(),
  text: text("text").notNull(),
});

const adapter = waymark.adapter(JSON.parse(process.argv[2]), randomUUID());
process.send("ready");
await new Promise((resolve) => process.once("message", resolve));
try {
  await adapter.init();
  await adapter.runPluginMigrations([{ name: "plugin-shared", schema: { entries } }]);
  await adapter.db.insert(entries).values({ text: "mine" });
  await adapter.close();
  process.send("done", () => process.exit());
} catch (error) {
  process.send(error.message, () => process.exit(1));
}
