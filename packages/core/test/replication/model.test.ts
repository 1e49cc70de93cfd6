import fc from "fast-check";
import { expect, test } from "vitest";
import { type Change, NO_AGENT, type Row, type TaskWriteRow } from "../../src/checkpoints/dialect.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { createReplicatedStorage, type ReplicatedStorage } from "../../src/replication/storage.ts";
import { noise } from "../rows.ts";
import { intercept, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

/**
 * A model of two processes that work on the same main and backup, whatever happens to these: afterwards both databases have
 * all that was acknowledged, and nothing that was deleted.
 */

type Fault = "up" | "down" | "read-only" | "lost answers";

/** Methods that never fail in the model. */
const WITHOUT_FAULTS = ["migrate", "stats", "vacuum", "close"];

/** A database with a foreign key, and the faults of the way to it. */
class Database {
  readonly rows: Map<string, Row>;
  readonly writes: Map<string, TaskWriteRow>;
  fault: Fault = "up";
  readonly #scripted = scriptedDialect();

  constructor() {
    this.rows = this.#scripted.rows;
    this.writes = this.#scripted.writes;
  }

  /** Connects a process. */
  connect() {
    const dialect = scriptedDialect(
      {
        commit: async (change, signal) => {
          if (this.fault === "read-only") throw new ScriptedError("read-only");
          const before = { rows: new Map(this.rows), writes: new Map(this.writes) };
          const isDone = await this.#scripted.commit(change, signal);
          this.#checkBases(before, change);
          if (this.fault === "lost answers") throw new ScriptedError("connection");
          return isDone;
        },
      },
      this,
    );
    return intercept(dialect, async (name, call) => {
      await null;
      if (this.fault === "down" && !WITHOUT_FAULTS.includes(name)) throw new ScriptedError("connection");
      return await call();
    });
  }

  #checkBases(before: Pick<Database, "rows" | "writes">, { insert = [], rewrite = [], remove = [] }: Change): void {
    const isOrphan = ({ baseId }: { baseId: string | null }) => baseId !== null && !this.rows.has(baseId);
    const removed = new Set(remove);
    const builtOn = [...this.rows.values()].some(({ baseId }) => baseId !== null && removed.has(baseId));
    if (!builtOn && ![...insert, ...rewrite].some(isOrphan)) return;
    this.rows.clear();
    for (const [id, row] of before.rows) this.rows.set(id, row);
    this.writes.clear();
    for (const [key, write] of before.writes) this.writes.set(key, write);
    throw new ScriptedError("foreign-key");
  }
}

const QUICK = resolveStorageOptions({
  operationTimeoutMs: 20_000,
  retry: { maxRetries: 1, baseDelayMs: 1, maxDelayMs: 1, jitterMaxMs: 0 },
  circuit: { failureThreshold: 2, resetTimeoutMs: 2, halfOpenMaxAttempts: 1 },
});

type Operation =
  | { readonly do: "store"; readonly process: number; readonly agent: number }
  | { readonly do: "append"; readonly process: number; readonly pick: number }
  | { readonly do: "delete"; readonly process: number; readonly pick: number }
  | { readonly do: "delete agent"; readonly process: number; readonly agent: number }
  | { readonly do: "prune"; readonly process: number; readonly keepLast: number }
  | { readonly do: "read latest"; readonly process: number; readonly agent: number }
  | { readonly do: "main"; readonly fault: Fault }
  | { readonly do: "backup"; readonly fault: Fault }
  | { readonly do: "restart"; readonly process: number }
  | { readonly do: "reconcile"; readonly process: number }
  | { readonly do: "wait" };

const process = fc.nat(1);
const agent = fc.nat(2);
const fault = fc.constantFrom<Fault>("up", "up", "down", "read-only", "lost answers");
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant("store" as const), process, agent }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("append" as const), process, pick: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), process, pick: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("delete agent" as const), process, agent }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("prune" as const), process, keepLast: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("read latest" as const), process, agent }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("main" as const), fault }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("backup" as const), fault }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), process }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reconcile" as const), process }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const) }) },
);

class World {
  readonly main = new Database();
  readonly backup = new Database();
  readonly #storages: ReplicatedStorage[];
  readonly #opened: ReplicatedStorage[] = [];
  readonly #policy: "async" | "required";
  readonly #histories = new Map<string, string[]>();
  /** Acknowledged checkpoints, with their states. */
  readonly #kept = new Map<string, { agentId: string; state: unknown }>();
  /** Checkpoints whose deletion was acknowledged. */
  readonly #deleted = new Set<string>();
  /** Acknowledged writes of each checkpoint. */
  readonly #written = new Map<string, { tasks: number[]; last: number }>();
  #appended = 0;
  /** Storages that may not know all checkpoints of the backup: it was down at some time since they were opened. */
  readonly #incomplete = new Set<ReplicatedStorage>();
  /** Agents with a store or removal that may or may not have taken place. */
  readonly #unsure = new Set<string>();

  constructor(policy: "async" | "required") {
    this.#policy = policy;
    this.#storages = [this.#open(), this.#open()];
  }

  #open(): ReplicatedStorage {
    const storage = createReplicatedStorage({
      main: createStorage(this.main.connect(), QUICK),
      backup: createStorage(this.backup.connect(), QUICK),
      replication: this.#policy,
    });
    this.#opened.push(storage);
    if (this.backup.fault === "down") this.#incomplete.add(storage);
    return storage;
  }

  async run(one: Operation): Promise<void> {
    const storage = "process" in one ? (this.#storages[one.process] as ReplicatedStorage) : null;
    switch (one.do) {
      case "store":
        return await this.#store(storage as ReplicatedStorage, `agent ${one.agent}`);
      case "append": {
        const id = this.#pick(one.pick);
        if (id !== undefined) await this.#append(storage as ReplicatedStorage, id);
        return;
      }
      case "delete": {
        const id = this.#pick(one.pick);
        if (id !== undefined) await this.#remove([id], () => (storage as ReplicatedStorage).deleteCheckpoint(id));
        return;
      }
      case "delete agent": {
        const agentId = `agent ${one.agent}`;
        await this.#remove(this.#of(agentId), () => (storage as ReplicatedStorage).deleteAgent(agentId));
        return;
      }
      case "prune": {
        // A failed store may have taken place, and then counts among those that are kept.
        const agents = [0, 1, 2].map((number) => `agent ${number}`);
        for (const id of agents.filter((name) => this.#unsure.has(name)).flatMap((name) => this.#of(name))) {
          this.#kept.delete(id);
        }
        const pruned = (ids: readonly string[]) => ids.slice(0, -one.keepLast);
        const all = agents.flatMap((name) => pruned(this.#of(name)));
        const pruning = storage as ReplicatedStorage;
        const certain = agents.flatMap((name) => pruned(this.#of(name).filter((id) => this.#isKnown(pruning, id))));
        for (const id of all.filter((other) => !certain.includes(other))) {
          this.#unsure.add(this.#kept.get(id)?.agentId as string);
          this.#kept.delete(id);
        }
        await this.#remove(certain, () => pruning.pruneCheckpoints({ keepLast: one.keepLast }));
        return;
      }
      case "read latest":
        return await this.#readLatest(storage as ReplicatedStorage, `agent ${one.agent}`);
      case "main":
        this.main.fault = one.fault;
        return;
      case "backup":
        this.backup.fault = one.fault;
        if (one.fault === "down") for (const open of this.#storages) this.#incomplete.add(open);
        return;
      case "restart": // without closing: the process was killed
        this.#storages[one.process] = this.#open();
        return;
      case "reconcile":
        await (storage as ReplicatedStorage).reconcile().catch(expectFaultCode);
        return;
      case "wait":
        return await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  #pick(number: number): string | undefined {
    return [...this.#kept.keys()].reverse()[number % Math.max(1, this.#kept.size)];
  }

  /** Appends two writes: one of a task of its own, and one that overwrites the one before. */
  async #append(storage: ReplicatedStorage, id: string): Promise<void> {
    this.#appended += 1;
    const value = this.#appended;
    const written = this.#written.get(id) ?? { tasks: [], last: 0 };
    this.#written.set(id, written);
    const isKnown = this.#isKnown(storage, id);
    try {
      await storage.appendWrites(id, [
        { taskId: `task ${value}`, index: 0, channel: "c", value },
        { taskId: "task", index: -1, channel: "c", value },
      ]);
      written.tasks.push(value);
      written.last = value;
    } catch (error) {
      const isNotFound = error instanceof CheckpointError && error.code === "NOT_FOUND";
      if (!isNotFound || isKnown) expectFaultCode(error);
    }
  }

  /** Returns whether a storage must know a checkpoint: it is in main, or the storage could always reach the backup. */
  #isKnown(storage: ReplicatedStorage, id: string): boolean {
    return !this.#incomplete.has(storage) || this.main.rows.has(id);
  }

  #of(agentId: string): string[] {
    return [...this.#kept]
      .filter(([, kept]) => kept.agentId === agentId)
      .map(([id]) => id)
      .sort();
  }

  async #store(storage: ReplicatedStorage, agentId: string): Promise<void> {
    const history = this.#histories.get(agentId) ?? [];
    this.#histories.set(agentId, history);
    history.push(noise(`${agentId} ${history.length}`, 1_500));
    const state = { messages: [...history] };
    try {
      const id = await storage.storeCheckpoint({ agentId, name: "turn", state, createdAt: 0 });
      this.#kept.set(id, { agentId, state });
    } catch (error) {
      expectFaultCode(error);
      this.#unsure.add(agentId);
    }
  }

  async #remove(ids: readonly string[], call: () => Promise<unknown>): Promise<void> {
    const agents = ids.map((id) => this.#kept.get(id)?.agentId as string);
    for (const id of ids) this.#kept.delete(id);
    try {
      await call();
      for (const id of ids) this.#deleted.add(id);
    } catch (error) {
      expectFaultCode(error); // some may be removed
      for (const agentId of agents) this.#unsure.add(agentId);
    }
  }

  /** Expects no older checkpoint than the latest acknowledged one, or an error. */
  async #readLatest(storage: ReplicatedStorage, agentId: string): Promise<void> {
    const newest = this.#of(agentId)
      .filter((id) => this.#isKnown(storage, id))
      .at(-1);
    try {
      const found = await storage.retrieveLatestCheckpoint(agentId);
      if (newest !== undefined) expect(found !== null && found.id >= newest, `latest of ${agentId}`).toBe(true);
      if (found !== null) expect(this.#deleted.has(found.id), `${found.id} is back`).toBe(false);
    } catch (error) {
      expectFaultCode(error);
    }
  }

  async check(): Promise<void> {
    this.main.fault = "up";
    this.backup.fault = "up";
    const storage = this.#open();
    await storage.reconcile();
    const report = await storage.close();
    expect(report).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    for (const other of this.#opened) await other.close({ timeoutMs: 1_000 });
    const alone = [this.main, this.backup].map((database) => createStorage(database.connect(), QUICK));
    for (const [index, database] of [this.main, this.backup].entries()) {
      const name = index === 0 ? "main" : "backup";
      for (const [id, { state }] of this.#kept) {
        const found = await alone[index]?.retrieveCheckpoint(id);
        expect(found?.state, `${id} in ${name}`).toEqual(state);
        const { tasks = [], last = 0 } = this.#written.get(id) ?? {};
        const writes = (await alone[index]?.listWrites(id)) ?? [];
        const places = new Map(writes.map(({ taskId, value }) => [taskId, value as number]));
        for (const task of tasks) expect(places.get(`task ${task}`), `task ${task} of ${id} in ${name}`).toBe(task);
        expect(places.get("task") ?? 0, `the last write of ${id} in ${name}`).toBeGreaterThanOrEqual(last);
      }
      for (const id of this.#deleted)
        expect(database.rows.get(id)?.agentId ?? NO_AGENT, `${id} in ${name}`).toBe(NO_AGENT);
    }
    const contents = ({ rows }: Database) =>
      [...rows.values()]
        .map(({ id, agentId, digest }) => `${id} ${agentId} ${Buffer.from(digest).toString("hex")}`)
        .sort();
    expect(contents(this.backup)).toEqual(contents(this.main));
    const appended = ({ writes }: Database) => [...writes].map(([key, { rank }]) => `${key} ${rank}`).sort();
    expect(appended(this.backup)).toEqual(appended(this.main));
    for (const one of alone) await one.close();
  }
}

function expectFaultCode(error: unknown): void {
  expect(error).toBeInstanceOf(CheckpointError);
  expect(["UNAVAILABLE", "TIMEOUT", "STALE", "READ_ONLY", "CONTENTION"]).toContain((error as CheckpointError).code);
}

test.each(["async", "required"] as const)(
  "loses no acknowledged and restores no deleted checkpoint, with replication %s",
  async (policy) => {
    const property = fc.asyncProperty(fc.array(operation, { maxLength: 60, size: "max" }), async (operations) => {
      const world = new World(policy);
      for (const one of operations) await world.run(one);
      await world.check();
    });
    const numRuns = globalThis.process.env["WAYMARK_TEST_ALL"] ? 60 : 25; // `process` is a member of operations here
    await fc.assert(property, { numRuns, interruptAfterTimeLimit: 60_000 });
  },
  240_000,
);
