import type { CheckpointStorage } from "@waymark/core";
import type { MemoryStorage } from "@waymark/core/memory";
import { MEMORY_SCHEMA } from "@waymark/core/memory/kit";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ServerDatabase } from "../../server/target.ts";
import { OPENERS } from "../../storage/scale.ts";
import { startMemoryWorker } from "./workers.ts";

/** Memories on a kind of database server, beside checkpoints, for the suite of migrations. */
export interface MemoryMigrationTarget {
  /** For the test report. */
  readonly name: string;
  /** URL of a module that plain Node can import (built JavaScript) and that exports `createMemoryStorage`. */
  readonly module: string;
  /** Makes an empty database. The suite drops it. */
  createDatabase(): Promise<ServerDatabase>;
  /** Opens a memory, which the suite closes. */
  open(options: MemoryMigrationOptions): MemoryStorage;
  /** Opens a storage of checkpoints, which the suite closes. */
  openCheckpoints(options: MemoryMigrationOptions): CheckpointStorage;
  /** Runs statements in turn on a connection of their own. Returns the rows of the last: values by the names of their columns. */
  run(url: string, ...statements: readonly string[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Makes a user who may use the tables of a database as soon as they are granted, and may never create one. */
  createLimitedUser(database: ServerDatabase): Promise<MemoryLimitedUser>;
}

export interface MemoryMigrationOptions {
  readonly connectionString: string;
  readonly tablePrefix?: string;
  readonly migrate?: "auto" | "verify";
}

export interface MemoryLimitedUser {
  /** URL of the database for this user. */
  readonly url: string;
  /** Lets the user read and write these tables, and read these histories. */
  grant(tables: readonly string[], histories: readonly string[]): Promise<void>;
  drop(): Promise<void>;
}

const TIMEOUT_MS = 120_000;

const CHECKPOINT_TABLES = [
  "agent_checkpoints",
  "agent_checkpoint_writes",
  "agent_checkpoint_settings",
  "agent_checkpoint_labels",
];

const [owner, collection] = ["owner", "notes"];
const note = (text: string) => ({ owner, collection, text, embedding: [text.length, 1] });

/** Registers with vitest what migrations of memory have to do on all servers. */
export function describeMemoryMigrations(target: MemoryMigrationTarget): void {
  const { run } = target;
  const withoutTimes = (statements: readonly string[]) => statements.map((text) => text.replace(/\b\d{13}\b/g, "TIME"));
  const namesIn = async (url: string, history: string) =>
    (await run(url, `select name from ${history} order by name`)).map(({ name }) => String(name));

  async function createDatabase(): Promise<ServerDatabase> {
    const database = await target.createDatabase();
    onTestFinished(() => database.drop());
    return database;
  }

  function open(options: MemoryMigrationOptions): MemoryStorage {
    const memory = target.open(options);
    onTestFinished(async () => void (await memory.close()));
    return memory;
  }

  function openCheckpoints(options: MemoryMigrationOptions): CheckpointStorage {
    const storage = target.openCheckpoints(options);
    onTestFinished(async () => void (await storage.close()));
    return storage;
  }

  describe.each([
    ["with their prefix", { checkpoints: "p_", memory: "p_" }],
    ["with a prefix of its own", { checkpoints: "", memory: "own_" }],
  ])(`${target.name}: a memory beside checkpoints, %s`, { timeout: TIMEOUT_MS }, (_, prefixes) => {
    const histories = {
      checkpoints: `${prefixes.checkpoints}waymark_migrations`,
      memory: `${prefixes.memory}${MEMORY_SCHEMA.history}`,
    };
    const tables = [
      ...CHECKPOINT_TABLES.map((name) => `${prefixes.checkpoints}${name}`),
      ...MEMORY_SCHEMA.tables.map(({ name }) => `${prefixes.memory}${name}`),
    ];

    it("is verified by a user who may not create tables, and used once somebody else has made it", async () => {
      const database = await createDatabase();
      const user = await target.createLimitedUser(database);
      onTestFinished(() => user.drop());
      const ofCheckpoints = { tablePrefix: prefixes.checkpoints };
      const migrated = await openCheckpoints({ connectionString: database.url, ...ofCheckpoints }).migrate();
      expect(migrated.length).toBeGreaterThan(0);

      const memory = open({ connectionString: user.url, tablePrefix: prefixes.memory, migrate: "verify" });
      const missing: unknown = await memory.addItems([note("a")]).catch((error: unknown) => error);
      expect(missing).toMatchObject({ name: "CheckpointError", code: "SCHEMA_OUTDATED", retryable: false });
      const { sql: script } = missing as { sql: readonly string[] };
      expect(script.join("\n")).not.toMatch(/agent_checkpoint|waymark_migrations/);
      expect(withoutTimes(script)).toEqual(withoutTimes(await memory.migrate("sql")));
      await expect(memory.migrate("verify")).rejects.toMatchObject({ code: "SCHEMA_OUTDATED" });
      await expect(memory.migrate("apply")).rejects.toMatchObject({
        code: "ACCESS_DENIED",
        message: expect.stringContaining('migrate: "verify"'),
      });

      await run(database.url, ...script);
      await user.grant(tables, Object.values(histories));

      await memory.createThread({ owner, id: "t" });
      const [first] = await memory.addItems([{ ...note("red kites"), threadId: "t" }, note("blue")]);
      await memory.updateItem(owner, String(first?.id), { text: "green kites", embedding: [9, 1] });
      const textsOf = async (search: object) =>
        (await memory.search({ owner, collections: [collection], limit: 5, ...search })).map(({ item }) => item.text);
      expect(await textsOf({ text: "kites" })).toEqual(["green kites"]);
      expect(await textsOf({ vector: [4, 1] })).toEqual(["blue", "green kites"]);
      expect(await memory.forgetOwner(owner)).toEqual({ threads: 1, items: 2 });
      expect(await memory.migrate("verify")).toEqual([]);

      const storage = openCheckpoints({ connectionString: user.url, ...ofCheckpoints, migrate: "verify" });
      const id = await storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 1 });
      expect((await storage.retrieveCheckpoint(id))?.state).toBe(1);
      expect(await namesIn(database.url, histories.checkpoints)).toEqual(migrated);
      expect(await open({ connectionString: database.url, tablePrefix: prefixes.memory }).migrate()).toEqual([]);
      expect(await namesIn(database.url, histories.memory)).toEqual(["0000_initial"]);
    });

    it(`has each migration recorded once when ${OPENERS} processes open it at once, though it is empty`, async () => {
      const { url: connectionString } = await createDatabase();
      const remote = { module: target.module, options: { connectionString, tablePrefix: prefixes.memory } };
      const workers = await Promise.all(Array.from({ length: OPENERS }, () => startMemoryWorker(remote)));
      onTestFinished(async () => void (await Promise.all(workers.map((worker) => worker.kill()))));
      const added = await Promise.all(workers.map(({ memory }, at) => memory.addItems([note(`word${at}`)])));
      expect(new Set(added.flat().map(({ id }) => id)).size).toBe(OPENERS);
      const memory = open({ connectionString, tablePrefix: prefixes.memory });
      expect(await memory.getCollection(owner, collection)).toMatchObject({ items: OPENERS });
      expect(await namesIn(connectionString, histories.memory)).toEqual(["0000_initial"]);
      await Promise.all(workers.map(({ memory: one }) => one.close()));
      expect(await Promise.all(workers.map((worker) => worker.leave()))).toEqual(workers.map(() => 0));
    });
  });
}
