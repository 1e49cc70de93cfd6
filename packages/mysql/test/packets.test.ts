import { randomBytes, randomUUID } from "node:crypto";
import { rejection } from "@waymark/conformance";
import { type Row, rowBytes } from "@waymark/core/kit";
import { createPool } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { killable, type Server, startProxy, startServer } from "waymark-test-servers";
import { checkpoint, createDialect, emptyDatabase, open, run, servers } from "./on-server.ts";

const LIMIT = 1024 * 1024;

/** Makes a state of about this many bytes that compression cannot make small. */
const newState = (bytes: number) => randomBytes(Math.ceil((bytes * 3) / 4)).toString("base64");

const { signal } = new AbortController();

function rowOf(more: Pick<Row, "agentId" | "name" | "metadata" | "state">): Row {
  const ids = { id: randomUUID(), parentId: randomUUID(), baseId: null, afterId: null };
  const numbers = { createdAt: -8_640_000_000_000_000, stateBytes: Number.MAX_SAFE_INTEGER, pending: null };
  return { ...ids, ...numbers, namespace: "", encoding: "e".repeat(64), digest: randomBytes(32), ...more };
}

/** On a server of its own: the size of a packet is a setting of the whole server. */
describe.runIf(process.platform === "linux").each(servers)("$title", ({ kind }) => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable });
    await run(server.url, `set global max_allowed_packet = ${LIMIT}`);
  });
  afterAll(() => server.stop());

  it("refuses a state above the server's limit before any of it is sent, names both sizes, and goes on", async () => {
    const { url } = await emptyDatabase(server.url);
    const proxy = await startProxy(url);
    onTestFinished(() => proxy.stop());
    const storage = open({ connectionString: proxy.url, poolSize: 1 });
    await storage.migrate();
    await storage.listAgents();
    let sent = 0;
    proxy.intercept((chunk, direction) => {
      if (direction === "to-server") sent += chunk.byteLength;
      return "forward";
    });

    const refused = await rejection(storage.storeCheckpoint(checkpoint({ state: newState(LIMIT) })));
    expect(refused).toMatchObject({ name: "CheckpointError", code: "STATE_TOO_LARGE", retryable: false });
    const numbers = [...refused.message.matchAll(/\d+/g)].map(Number);
    expect(numbers).toHaveLength(2);
    const [size, limit] = numbers as [number, number];
    expect(limit).toBeLessThan(LIMIT / 2);
    expect(limit).toBeGreaterThan(LIMIT / 2 - 10_000);
    expect(size).toBeGreaterThan(limit);
    expect(sent).toBeLessThan(1_000); // it reads the latest checkpoint, for a base

    sent = 0;
    expect(await storage.listCheckpoints()).toEqual([]);
    expect(sent).toBeGreaterThan(0);
  });

  it("stores a checkpoint just below the limit and refuses one just above, with long names and labels too", async () => {
    const { url } = await emptyDatabase(server.url);
    const storage = open({ connectionString: url });
    const words = { name: "'\\".repeat(5_000), namespace: "'".repeat(1_024), metadata: { "'": "'".repeat(8_000) } };
    let stored = 0;
    for (let bytes = 300_000; ; bytes += 10_000) {
      const state = randomBytes(bytes);
      const one = checkpoint({ ...words, state });
      try {
        const id = await storage.storeCheckpoint(one);
        const back = await storage.retrieveCheckpoint(id);
        expect({ ...back, state: null }).toEqual({ id, ...one, state: null });
        expect(state.equals(back?.state as Uint8Array)).toBe(true); // vitest takes seconds to compare so many bytes
        stored = bytes;
      } catch (error) {
        expect(error).toMatchObject({
          code: "STATE_TOO_LARGE",
          message: expect.stringMatching(/takes \d+ bytes as sent/),
        });
        break;
      }
    }
    expect(stored).toBeGreaterThan(300_000);
    expect(await storage.health()).toMatchObject({ ok: true });
  });

  it("commits rows together up to the limit, whatever their text is", async () => {
    const { url } = await emptyDatabase(server.url);
    const dialect = createDialect({ connectionString: url });
    onTestFinished(() => dialect.close());
    const { maxStatementBytes } = await dialect.open(signal);
    for (const [name, bytes] of [
      ["", 0],
      ["'\\\0\n\"".repeat(40), 400],
      ["\u{10ffff}\uffff".repeat(3_000), 0],
    ] as const) {
      const insert: Row[] = [];
      for (let left = maxStatementBytes; ; ) {
        const row = rowOf({ agentId: "é".repeat(100), name, metadata: name || null, state: randomBytes(bytes) });
        left -= rowBytes(row);
        if (left < 0) break;
        insert.push(row);
      }
      expect(insert.length).toBeGreaterThan(5);
      expect(await dialect.commit({ insert }, signal)).toBe(true);
      const last = insert.at(-1) as Row;
      const [read] = await dialect.readChain(last.id, signal);
      expect({ ...read, state: Buffer.from(read?.state ?? []) }).toEqual(last);
      expect(await dialect.commit({ remove: insert.map(({ id }) => id).reverse() }, signal)).toBe(true);
    }
  });

  it("refuses a state with STATE_TOO_LARGE after the limit was lowered, and the next calls work", async () => {
    const { url } = await emptyDatabase(server.url);
    for (const poolSize of [1, 4]) {
      await run(server.url, `set global max_allowed_packet = ${64 * LIMIT}`);
      const storage = open({ connectionString: url, poolSize });
      await storage.listAgents();
      await run(server.url, `set global max_allowed_packet = ${LIMIT}`);
      onTestFinished(async () => void (await run(server.url, `set global max_allowed_packet = ${LIMIT}`)));
      // Open connections keep the limit that they began with: they are ended, and made anew.
      const [threads] = [
        await run(
          server.url,
          `select id as id from information_schema.processlist where db = '${new URL(url).pathname.slice(1)}'`,
        ),
      ];
      for (const { id } of threads) await run(server.url, `kill ${String(id)}`);
      for (const bytes of [2 * LIMIT, 5 * LIMIT]) {
        const refused = await rejection(storage.storeCheckpoint(checkpoint({ state: newState(bytes) })));
        expect(refused).toMatchObject({ name: "CheckpointError", code: "STATE_TOO_LARGE", retryable: false });
        expect(await storage.storeCheckpoint(checkpoint())).toEqual(expect.any(String));
        expect((await storage.retrieveLatestCheckpoint("agent"))?.state).toEqual(checkpoint().state);
      }
      const mixed = [3 * LIMIT, 1, 3 * LIMIT, 1, 1, 1].map((bytes) =>
        storage.storeCheckpoint(checkpoint({ state: newState(bytes) })),
      );
      const outcomes = await Promise.allSettled(mixed);
      expect(outcomes.map(({ status }) => status)).toEqual([
        "rejected",
        "fulfilled",
        "rejected",
        "fulfilled",
        "fulfilled",
        "fulfilled",
      ]);
    }
  });

  it("leaves a user's own pool in order after a state that was too large for the server", async () => {
    const { url } = await emptyDatabase(server.url);
    const pool = createPool({ uri: url, connectionLimit: 1 });
    onTestFinished(() => pool.end());
    await run(server.url, `set global max_allowed_packet = ${64 * LIMIT}`);
    const storage = open({ pool });
    await storage.listAgents();
    await run(server.url, `set global max_allowed_packet = ${LIMIT}`);
    const [[row]] = (await pool.query("select connection_id() as id")) as unknown as [{ id: number }[]];
    await run(server.url, `kill ${row?.id}`);
    expect(await rejection(storage.storeCheckpoint(checkpoint({ state: newState(5 * LIMIT) })))).toMatchObject({
      code: "STATE_TOO_LARGE",
    });
    const [rows] = await pool.query("select 1 as one");
    expect(rows).toEqual([{ one: 1 }]);
  });

  it("reads the limit on a user's own pool, however that one reads rows", async () => {
    const { url } = await emptyDatabase(server.url);
    for (const options of [{ rowsAsArray: true }, { bigNumberStrings: true, supportBigNumbers: true }]) {
      const pool = createPool({ uri: url, ...options });
      onTestFinished(() => pool.end());
      const refused = await rejection(open({ pool }).storeCheckpoint(checkpoint({ state: newState(LIMIT) })));
      expect(refused).toMatchObject({
        code: "STATE_TOO_LARGE",
        message: expect.stringMatching(/takes \d+ bytes as sent/),
      });
    }
  });
});
