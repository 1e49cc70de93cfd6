import fc from "fast-check";
import { expect, test } from "vitest";
import { type Change, NO_AGENT, type Row, type WriteRow } from "../../src/checkpoints/dialect.ts";
import { createStorage } from "../../src/checkpoints/storage.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { createReplicatedStorage, type ReplicatedStorage } from "../../src/replication/storage.ts";
import { noise } from "../rows.ts";
import { ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

/**
 * Whatever happens to main and backup, in whatever order: what was acknowledged is there afterwards, in both, and what was
 * deleted is not. Two processes work on the same two databases.
 */

type Fault = "up" | "down" | "read-only" | "lost answers";

/** Rows as an engine keeps them, foreign key included, and what goes wrong on the way to them. */
class Database {
  readonly rows: Map<string, Row>;
  readonly writes: Map<string, WriteRow>;
  fault: Fault = "up";
  readonly #scripted = scriptedDialect();

  constructor() {
    this.rows = this.#scripted.rows;
    this.writes = this.#scripted.writes;
  }

  /** As one process sees it. */
  connect() {
    const dialect = this.#scripted;
    const reach = async <Result>(work: () => Promise<Result>): Promise<Result> => {
      await null;
      if (this.fault === "down") throw new ScriptedError("connection");
      return await work();
    };
    return scriptedDialect({
      open: () => reach(() => dialect.open(new AbortController().signal)),
      commit: (change, signal) =>
        reach(async () => {
          if (this.fault === "read-only") throw new ScriptedError("read-only");
          const before = { rows: new Map(this.rows), writes: new Map(this.writes) };
          const done = await dialect.commit(change, signal);
          this.#checkBases(before, change);
          if (this.fault === "lost answers") throw new ScriptedError("connection");
          return done;
        }),
      readChain: (id, signal) => reach(() => dialect.readChain(id, signal)),
      list: (query, signal) => reach(() => dialect.list(query, signal)),
      readRows: (ids, signal) => reach(() => dialect.readRows(ids, signal)),
      readWrites: (ids, signal) => reach(() => dialect.readWrites(ids, signal)),
      writeKeys: (range, signal) => reach(() => dialect.writeKeys(range, signal)),
      pending: (until, limit, signal) => reach(() => dialect.pending(until, limit, signal)),
      backlog: (signal) => reach(() => dialect.backlog(signal)),
      count: (range, signal) => reach(() => dialect.count(range, signal)),
      agents: (after, limit, signal) => reach(() => dialect.agents(after, limit, signal)),
      ping: () => reach(async () => {}),
      dependents: (ids) =>
        reach(async () => {
          const found = [...this.rows.values()].filter(({ baseId }) => baseId !== null && ids.includes(baseId));
          return found.sort((one, other) => (one.id < other.id ? 1 : -1));
        }),
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

const QUICK = {
  operationTimeoutMs: 20_000,
  retry: { maxRetries: 1, baseDelayMs: 1, maxDelayMs: 1, jitterMaxMs: 0 },
  circuit: { failureThreshold: 2, resetTimeoutMs: 2, halfOpenMaxAttempts: 1 },
};

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
  readonly #left: ReplicatedStorage[] = [];
  readonly #policy: "async" | "required";
  readonly #histories = new Map<string, string[]>();
  /** Acknowledged, with their states; and what was deleted, or may have been. */
  readonly #kept = new Map<string, { agentId: string; state: unknown }>();
  readonly #gone = new Set<string>();
  /** What was acknowledged of each checkpoint's writes. */
  readonly #written = new Map<string, { tasks: number[]; last: number }>();
  #appended = 0;
  /** Agents with a store or a removal that failed: it may have taken place all the same. */
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
    this.#left.push(storage);
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
        // A store that failed may have taken place, and counts among the last ones then.
        const agents = [0, 1, 2].map((number) => `agent ${number}`);
        for (const id of agents.filter((name) => this.#unsure.has(name)).flatMap((name) => this.#of(name))) {
          this.#kept.delete(id);
        }
        const doomed = agents.flatMap((name) => this.#of(name).slice(0, -one.keepLast));
        await this.#remove(doomed, () => (storage as ReplicatedStorage).pruneCheckpoints({ keepLast: one.keepLast }));
        return;
      }
      case "read latest":
        return await this.#readLatest(storage as ReplicatedStorage, `agent ${one.agent}`);
      case "main":
        this.main.fault = one.fault;
        return;
      case "backup":
        this.backup.fault = one.fault;
        return;
      case "restart": // without a word: the process was killed
        this.#storages[one.process] = this.#open();
        return;
      case "reconcile":
        await (storage as ReplicatedStorage).reconcile().catch(expectKnown);
        return;
      case "wait":
        return await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  #pick(number: number): string | undefined {
    return [...this.#kept.keys()].reverse()[number % Math.max(1, this.#kept.size)];
  }

  /** A task of its own, and a place that is written over. */
  async #append(storage: ReplicatedStorage, id: string): Promise<void> {
    this.#appended += 1;
    const value = this.#appended;
    const written = this.#written.get(id) ?? { tasks: [], last: 0 };
    this.#written.set(id, written);
    try {
      await storage.appendWrites(id, [
        { taskId: `task ${value}`, index: 0, channel: "c", value },
        { taskId: "task", index: -1, channel: "c", value },
      ]);
      written.tasks.push(value);
      written.last = value;
    } catch (error) {
      // A process that began while the backup was away does not know what only that has.
      if (!(error instanceof CheckpointError && error.code === "NOT_FOUND" && this.backup.fault === "down")) {
        expectKnown(error);
      }
    }
  }

  #of(agentId: string): string[] {
    return [...this.#kept]
      .filter(([, known]) => known.agentId === agentId)
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
      expectKnown(error);
      this.#unsure.add(agentId);
    }
  }

  async #remove(ids: readonly string[], call: () => Promise<unknown>): Promise<void> {
    const agents = ids.map((id) => this.#kept.get(id)?.agentId as string);
    for (const id of ids) this.#kept.delete(id);
    try {
      await call();
      for (const id of ids) this.#gone.add(id);
    } catch (error) {
      expectKnown(error); // some may be gone
      for (const agentId of agents) this.#unsure.add(agentId);
    }
  }

  /** Never an older one than was acknowledged, unless it says so. */
  async #readLatest(storage: ReplicatedStorage, agentId: string): Promise<void> {
    const newest = this.#of(agentId).at(-1);
    try {
      const found = await storage.retrieveLatestCheckpoint(agentId);
      // What the backup alone has, nobody knows of where it was never asked: a second failure, at the start of a process.
      const known = this.backup.fault !== "down";
      if (newest !== undefined && known)
        expect(found !== null && found.id >= newest, `latest of ${agentId}`).toBe(true);
      if (found !== null) expect(this.#gone.has(found.id), `${found.id} is back`).toBe(false);
    } catch (error) {
      expectKnown(error);
    }
  }

  async check(): Promise<void> {
    this.main.fault = "up";
    this.backup.fault = "up";
    const storage = this.#open();
    await storage.reconcile();
    const report = await storage.close();
    expect(report).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    for (const other of this.#left) await other.close({ timeoutMs: 1_000 });
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
      for (const id of this.#gone)
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

function expectKnown(error: unknown): void {
  expect(error).toBeInstanceOf(CheckpointError);
  expect(["UNAVAILABLE", "TIMEOUT", "STALE", "READ_ONLY", "CONTENTION"]).toContain((error as CheckpointError).code);
}

test.each(["async", "required"] as const)(
  "%s: nothing acknowledged is lost, nothing deleted is back",
  async (policy) => {
    const property = fc.asyncProperty(fc.array(operation, { maxLength: 60, size: "max" }), async (operations) => {
      const world = new World(policy);
      for (const one of operations) await world.run(one);
      await world.check();
    });
    await fc.assert(property, { numRuns: 60, interruptAfterTimeLimit: 60_000 });
  },
  240_000,
);
