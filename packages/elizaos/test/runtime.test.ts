import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pluginSql from "@elizaos/plugin-sql";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type WaymarkAdapter, waymark } from "../src/index.ts";
import { embed, place, say, startRuntime, stopRuntime } from "./agent.mjs";
import { createSQLite, databasesOfVerbs, type TestDatabase } from "./databases.ts";

const CHILD = fileURLToPath(new URL("initialize-child.mjs", import.meta.url));

/** Processes that start at once. */
const testAll = Boolean(process.env["WAYMARK_TEST_ALL"]);
const processesOn = (name: string) => (testAll ? 16 : name === "SQLite" ? 8 : 3);

const adapterOf = (runtime: { readonly adapter: unknown }) => runtime.adapter as WaymarkAdapter;

describe.each(databasesOfVerbs)("an agent of ElizaOS on $name", ({ name, create }) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await create();
  });
  afterEach(() => database.drop());

  it("starts on an empty database, and goes on after a restart with what it has heard", async () => {
    const first = await startRuntime([waymark(database.options)]);
    expect(await say(first, "I live in Lisbon")).toEqual(["You said: I live in Lisbon"]);
    const fact = { content: { text: "Ben lives in Lisbon" }, embedding: embed("Lisbon"), ...place };
    const id = await first.createMemory({ ...fact, agentId: first.agentId }, "facts");
    await stopRuntime(first);

    const second = await startRuntime([waymark(database.options)]);
    expect(second.agentId).toBe(first.agentId);
    const adapter = adapterOf(second);
    expect(await adapter.countAgents()).toBe(1);
    const messages = await adapter.getMemories({ tableName: "messages", roomId: place.roomId });
    expect(messages.map(({ content }) => content["text"]).reverse()).toEqual([
      "I live in Lisbon",
      "You said: I live in Lisbon",
    ]);
    const found = await second.searchMemories({ tableName: "facts", embedding: embed("Lisbon"), count: 3 });
    expect(found).toMatchObject([{ id, similarity: 1 }]);
    expect(await say(second, "Where do I live?")).toEqual(["You said: Where do I live?"]);
    await stopRuntime(second);
  });

  // PGlite is for one process.
  it.runIf(name !== "PGlite")("is created once by processes that start at once, on an empty database", async () => {
    const children = Array.from({ length: processesOn(name) }, () =>
      fork(CHILD, [JSON.stringify(database.options)], { execArgv: [], env: { ...process.env, LOG_LEVEL: "fatal" } }),
    );
    await Promise.all(children.map((child) => once(child, "message")));
    const answers = await Promise.all(
      children.map(async (child) => {
        child.send("go");
        const [answer] = await once(child, "message");
        await once(child, "exit");
        return answer;
      }),
    );
    expect(answers).toEqual(children.map(() => ({ agents: 1 })));
  });
});

describe("the plugin", () => {
  let database: TestDatabase;
  beforeEach(() => {
    database = createSQLite();
  });
  afterEach(() => database.drop());

  it.each([
    ["before", (ours: never) => [ours, pluginSql]],
    ["behind", (ours: never) => [pluginSql, ours]],
  ] as const)("wins %s plugin-sql in the list", async (_, order) => {
    const runtime = await startRuntime(order(waymark(database.options) as never));
    expect(adapterOf(runtime).getConnectionInfo()).toMatchObject({ dialect: "sqlite", isConnected: true });
    expect(await say(runtime, "hello")).toEqual(["You said: hello"]);
    await stopRuntime(runtime);
  });

  it("serves several agents of one process, each with rows of its own, on one connection", async () => {
    const plugin = waymark(database.options);
    const [ada, bob] = [await startRuntime([plugin], "Ada"), await startRuntime([plugin], "Bob")];
    await say(ada, "to Ada");
    await stopRuntime(ada);
    expect(await adapterOf(bob).countAgents()).toBe(2);
    expect(await adapterOf(bob).getMemories({ tableName: "messages", agentId: bob.agentId })).toEqual([]);
    expect(await adapterOf(bob).getMemories({ tableName: "messages", agentId: ada.agentId })).toHaveLength(2);
    await stopRuntime(bob);
  });
});
