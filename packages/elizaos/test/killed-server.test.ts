import { once } from "node:events";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createDatabase, killable, type Server, startServer } from "waymark-test-servers";
import { type WaymarkAdapter, waymark } from "../src/index.ts";
import { place, say, startRuntime, stopRuntime } from "./agent.mjs";

/** More logs than wait for a database. */
const LOGS = 10_500;

const kinds = process.env["WAYMARK_TEST_ALL"] ? (["postgres", "mysql", "mariadb"] as const) : (["postgres"] as const);

describe.each(kinds)("a conversation whose %s is killed", (kind) => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable });
  });
  afterAll(() => server?.stop());

  let url: string;
  beforeEach(async () => {
    ({ url } = await createDatabase(server.url));
  });

  let warnings: (Error & { code?: string })[];
  const note = (warning: Error) => void warnings.push(warning);
  beforeEach(() => {
    warnings = [];
    process.on("warning", note);
  });
  afterEach(() => void process.off("warning", note));

  it("goes on when it is back: what was acknowledged is there, and logs that were dropped are counted", async () => {
    const database = {
      poolSize: 2,
      retry: { maxRetries: 1, baseDelayMs: 20 },
      circuit: { failureThreshold: 1, resetTimeoutMs: 100 },
    };
    const runtime = await startRuntime([waymark({ url, database })]);
    const adapter = runtime.adapter as WaymarkAdapter;
    expect(await say(runtime, "before")).toEqual(["You said: before"]);
    const kept = (await adapter.getMemories({ tableName: "messages" })).map(({ id }) => id);

    await server.kill();
    await expect(adapter.getMemories({ tableName: "messages" })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await say(runtime, "into the void").catch(() => []);
    expect(adapter.isConnected()).toBe(false);
    const log = (at: number) => ({ body: { at }, entityId: place.entityId, roomId: place.roomId, type: "test" });
    await Promise.all(Array.from({ length: LOGS }, (_, at) => adapter.log(log(at))));
    const { droppedLogs } = adapter.getConnectionInfo();
    expect(droppedLogs).toBeGreaterThanOrEqual(500);

    await server.start();
    await until(() => adapter.isReady());
    expect(await say(runtime, "after")).toEqual(["You said: after"]);
    const messages = await adapter.getMemories({ tableName: "messages" });
    expect(messages.map(({ id }) => id)).toEqual(expect.arrayContaining(kept));
    expect(messages[0]?.content["text"]).toBe("You said: after");
    await until(async () => (await adapter.getLogs({ type: "test", count: LOGS })).length >= LOGS - droppedLogs);
    expect(await adapter.getLogs({ type: "test", count: LOGS })).toHaveLength(LOGS - droppedLogs);
    await stopRuntime(runtime);
    expect(warnings.filter(({ code }) => code === "WAYMARK_ELIZA_LOGS_DROPPED")).toHaveLength(1);
  });
});

/** Asks until the answer is yes. The test's own time ends it. */
async function until(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) await once(AbortSignal.timeout(20), "abort");
}
