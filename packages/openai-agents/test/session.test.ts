import { randomUUID } from "node:crypto";
import {
  type AgentInputItem,
  isSessionHistoryRewriteAwareSession,
  isSessionHistoryTransactionAwareSession,
} from "@openai/agents-core";
import { CheckpointError, type CheckpointStorage } from "@waymark/core";
import { WaymarkSession } from "@waymark/openai-agents";
import { createSQLiteStorage } from "@waymark/sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, start } from "./children.ts";
import { createSQLite, type Database, databases } from "./databases.ts";

const says = (content: string): AgentInputItem => ({ role: "user", content });
const contents = (items: readonly AgentInputItem[]) => items.map((item) => Reflect.get(item, "content"));
const append = (operationId: string, ...items: AgentInputItem[]) => ({
  operationId,
  transaction: { type: "append_items" as const, items },
});

describe.each(databases)("a session on $name", ({ create }) => {
  let database: Database;
  let storage: CheckpointStorage;

  beforeAll(async () => {
    database = await create();
    storage = database.open();
  });
  afterAll(async () => {
    await storage.close();
    await database.drop();
  });

  it("loses no item that several processes add concurrently, and keeps the order of each", async () => {
    const sessionId = randomUUID();
    const writers = ["A", "B", "C"];
    const children = await Promise.all(
      writers.map((writer) => start("add items", { options: database.options, sessionId, writer, count: 20 })),
    );
    await Promise.all(children.map((child) => child.go()));

    const found = contents(await new WaymarkSession({ storage, sessionId }).getItems());
    expect(found).toHaveLength(60);
    for (const writer of writers) {
      const own = Array.from({ length: 20 }, (_, index) => `${writer} ${index + 1}`);
      expect(found.filter((content) => content.startsWith(writer))).toEqual(own);
    }
    const history = await storage.listCheckpoints({ agentId: sessionId });
    expect(history.map(({ metadata }) => metadata?.["items"])).toEqual(Array.from({ length: 60 }, (_, n) => 60 - n));
    expect(history.map(({ parentId }) => parentId)).toEqual([...history.slice(1).map(({ id }) => id), undefined]);
  });

  it("loses no item that several sessions of one process add concurrently, awaited or not", async () => {
    const sessionId = randomUUID();
    const sessions = [1, 2, 3].map(() => new WaymarkSession({ storage, sessionId }));
    await Promise.all(
      sessions.flatMap((session, writer) => [1, 2, 3, 4].map((n) => session.addItems([says(`${writer} ${n}`)]))),
    );
    const found = contents(await new WaymarkSession({ storage, sessionId }).getItems());
    expect(found).toHaveLength(12);
    for (const [writer] of sessions.entries()) {
      const own = found.filter((content) => content.startsWith(String(writer)));
      expect(own).toEqual([1, 2, 3, 4].map((n) => `${writer} ${n}`));
    }
  });

  it("gives each item to exactly one of the processes that pop it", async () => {
    const sessionId = randomUUID();
    const all = Array.from({ length: 12 }, (_, index) => `item ${index}`);
    await new WaymarkSession({ storage, sessionId }).addItems(all.map(says));
    const children = await Promise.all(
      [1, 2].map(() => start("pop items", { options: database.options, sessionId, count: 7 })),
    );
    const popped = (await Promise.all(children.map((child) => child.go()))).flat();
    expect(popped.filter((content) => content !== null).sort()).toEqual([...all].sort());
    expect(popped.filter((content) => content === null)).toHaveLength(2);
    expect(await new WaymarkSession({ storage, sessionId }).getItems()).toEqual([]);
  });

  it("applies an operation once, though three processes repeat it", async () => {
    const sessionId = randomUUID();
    const transaction = append("operation", says("once"));
    const children = await Promise.all(
      [1, 2].map(() => start("apply transaction", { options: database.options, sessionId, transaction })),
    );
    await Promise.all(children.map((child) => child.go()));
    const session = new WaymarkSession({ storage, sessionId });
    await session.applyHistoryTransaction(transaction);
    expect(contents(await session.getItems())).toEqual(["once"]);

    const other = append("operation", says("something else"));
    await expect(session.applyHistoryTransaction(other)).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(
      run("apply transaction", { options: database.options, sessionId, transaction: other }),
    ).rejects.toThrow("CONFLICT: apply history transaction: expected this operationId to be new");
    expect(contents(await session.getItems())).toEqual(["once"]);
  });

  it("recognizes an operation whose process died before it got the answer", async () => {
    const sessionId = randomUUID();
    const transaction = append("operation", says("once"));
    await expect(
      run("apply transaction and die", { options: database.options, sessionId, transaction }),
    ).rejects.toThrow("SIGKILL");
    const session = new WaymarkSession({ storage, sessionId });
    await session.applyHistoryTransaction(transaction);
    expect(contents(await session.getItems())).toEqual(["once"]);
  });

  it("applies each operation once if a process is killed in the middle, and another repeats them", async () => {
    const sessionId = randomUUID();
    const child = await start("apply transactions until killed", { options: database.options, sessionId });
    const ended = child.go();
    child.process.on("message", ({ acknowledged }: { acknowledged: number }) => {
      if (acknowledged === 7) child.process.kill("SIGKILL");
    });
    await expect(ended).rejects.toThrow("SIGKILL");

    const session = new WaymarkSession({ storage, sessionId });
    const stored = (await session.getItems()).length;
    expect(stored).toBeGreaterThanOrEqual(7);
    const all = Array.from({ length: stored + 2 }, (_, index) => `turn ${index + 1}`);
    for (const turn of all) await session.applyHistoryTransaction(append(turn, says(turn)));
    expect(contents(await session.getItems())).toEqual(all);
  });

  it("leaves no row when it is cleared, and does not touch another namespace", async () => {
    const sessionId = randomUUID();
    const session = new WaymarkSession({ storage, sessionId });
    const other = new WaymarkSession({ storage, sessionId, namespace: "another" });
    for (let turn = 1; turn <= 5; turn++) await session.addItems([says(`turn ${turn}${"x".repeat(5_000)}`)]);
    await session.applyHistoryTransaction(append("operation", says("once")));
    await other.addItems([says("stays")]);
    expect(await database.countRows(sessionId)).toBe(7);

    await session.clearSession();
    expect(await database.countRows(sessionId)).toBe(1);
    expect(await session.getItems()).toEqual([]);
    expect(contents(await other.getItems())).toEqual(["stays"]);

    await session.clearSession(); // the session is empty
    expect(await database.countRows(sessionId)).toBe(1);
    await session.applyHistoryTransaction(append("operation", says("again"))); // operations are forgotten too
    expect(contents(await session.getItems())).toEqual(["again"]);
    await other.clearSession();
    await session.clearSession();
    expect(await database.countRows(sessionId)).toBe(0);
  });

  it("restores no cleared item while others add", async () => {
    for (let round = 1; round <= 5; round++) {
      const sessionId = randomUUID();
      const [adding, clearing] = [1, 2].map(() => new WaymarkSession({ storage, sessionId })) as [
        WaymarkSession,
        WaymarkSession,
      ];
      for (let old = 1; old <= 8; old++) await adding.addItems([says(`old ${old}`)]);
      await Promise.all([
        clearing.clearSession(),
        ...[1, 2, 3, 4, 5, 6].map((n) => adding.addItems([says(`new ${n}`)])),
      ]);
      // Items added before the session was emptied are gone; those after it are there without a gap.
      const found = contents(await adding.getItems());
      expect(found).toEqual([1, 2, 3, 4, 5, 6].map((n) => `new ${n}`).slice(6 - found.length));
      await clearing.clearSession();
      expect(await database.countRows(sessionId)).toBe(0);
    }
  });
});

describe("a session", () => {
  let database: Database;
  let storage: CheckpointStorage;

  beforeAll(async () => {
    database = createSQLite();
    storage = database.open();
  });
  afterAll(async () => {
    await storage.close();
    await database.drop();
  });

  it("has the given id, or a new one", async () => {
    const ids = [new WaymarkSession({ storage }), new WaymarkSession({ storage })].map((one) => one.getSessionId());
    expect(new Set(await Promise.all(ids)).size).toBe(2);
    expect(await new WaymarkSession({ storage, sessionId: "Zoë" }).getSessionId()).toBe("Zoë");
  });

  it("has the capabilities that the SDK looks for", () => {
    const session = new WaymarkSession({ storage });
    expect(isSessionHistoryRewriteAwareSession(session)).toBe(true);
    expect(isSessionHistoryTransactionAwareSession(session)).toBe(true);
  });

  it("copies items: changes that callers make before or after do not affect it", async () => {
    const session = new WaymarkSession({ storage });
    const content = "as it was ".repeat(1_000); // large enough that the storage caches the state
    const mine = { role: "user" as const, content, providerData: { tags: ["a"] } };
    const added = session.addItems([mine]);
    mine.content = "changed";
    mine.providerData.tags.push("b");
    await added;
    const expected = [{ role: "user", content, providerData: { tags: ["a"] } }];
    const found = await session.getItems();
    expect(found).toEqual(expected);
    Object.assign(found[0] ?? {}, { content: "changed" });
    found.pop();
    expect(await session.getItems()).toEqual(expected);
    expect(Object.isFrozen(mine)).toBe(false);

    const empty = new WaymarkSession({ storage });
    (await empty.getItems()).push(says("mine"));
    expect(await empty.getItems()).toEqual([]);
    expect(await new WaymarkSession({ storage }).getItems()).toEqual([]);
  });

  it("does not freeze its callers' objects on a storage that freezes", async () => {
    await using freezing = createSQLiteStorage({ databasePath: ":memory:", freeze: true });
    const session = new WaymarkSession({ storage: freezing });
    const mine = { role: "user" as const, content: "mine", providerData: {} };
    await session.addItems([mine]);
    await session.applyHistoryTransaction(append("operation", mine));
    mine.content = "still mine";
    expect(contents(await session.getItems())).toEqual(["mine", "mine"]);
    const popped = (await session.popItem()) as typeof mine;
    popped.content = "mine too";
    expect(contents(await session.getItems())).toEqual(["mine"]);
  });

  it("runs calls in their order, awaited or not, and continues after a failed one", async () => {
    const session = new WaymarkSession({ storage });
    const calls = [
      session.addItems([says("1"), says("2")]),
      session.popItem(),
      session.applyHistoryTransaction({
        operationId: "operation",
        transaction: { type: "replace_suffix", expectedSuffix: [says("2")], replacement: [] },
      }),
      session.addItems([says("3")]),
      session.getItems(),
      session.clearSession(),
      session.getItems(),
    ];
    expect(await Promise.allSettled(calls)).toEqual([
      { status: "fulfilled", value: undefined },
      { status: "fulfilled", value: says("2") },
      { status: "rejected", reason: expect.objectContaining({ code: "CONFLICT" }) },
      { status: "fulfilled", value: undefined },
      { status: "fulfilled", value: [says("1"), says("3")] },
      { status: "fulfilled", value: undefined },
      { status: "fulfilled", value: [] },
    ]);
  });

  it("stores nothing if nothing changes", async () => {
    const session = new WaymarkSession({ storage, sessionId: "unchanged" });
    await session.addItems([]);
    await session.popItem();
    await session.clearSession();
    await session.applyHistoryMutations({ mutations: [] });
    expect(await database.countRows("unchanged")).toBe(0);
    await session.addItems([says("one")]);
    await session.applyHistoryMutations({
      mutations: [
        {
          type: "replace_function_call",
          callId: "no such call",
          replacement: { type: "function_call", callId: "c", name: "n", arguments: "{}" },
        },
      ],
    });
    expect(await database.countRows("unchanged")).toBe(1);
  });

  it("keeps all of its states, named after the method", async () => {
    const session = new WaymarkSession({ storage, sessionId: "history" });
    await session.addItems([says("one"), says("two")]);
    await session.popItem();
    await session.replaceHistoryWithCompaction([says("what was said")]);
    const history = await storage.listCheckpoints({ agentId: "history", namespace: "session" });
    expect(history.map(({ name, metadata }) => [name, metadata])).toEqual([
      ["replaceHistoryWithCompaction", { change: 3, items: 1 }],
      ["popItem", { change: 2, items: 1 }],
      ["addItems", { change: 1, items: 2 }],
    ]);
    const states = await Promise.all(history.map(({ id }) => storage.retrieveCheckpoint(id)));
    expect(states.map((checkpoint) => checkpoint?.state)).toEqual([
      { items: [says("what was said")], operations: [] },
      { items: [says("one")], operations: [] },
      { items: [says("one"), says("two")], operations: [] },
    ]);
  });

  it("continues from an earlier state that was stored again by hand", async () => {
    const session = new WaymarkSession({ storage, sessionId: "restored", keepLast: 10 });
    await session.addItems([says("one")]);
    await session.addItems([says("two")]);
    const [latest, earlier] = await storage.listCheckpoints({ agentId: "restored" });
    const { state } = (await storage.retrieveCheckpoint(earlier?.id ?? "")) as { state: unknown };
    await storage.storeCheckpoint(
      { agentId: "restored", namespace: "session", name: "back", state, createdAt: 1 },
      { ifLatest: latest?.id ?? null },
    );
    await session.addItems([says("three")]);
    expect(contents(await session.getItems())).toEqual(["one", "three"]);
  });

  it("keeps the newest `keepLast` changes, whichever objects make them", async () => {
    const rows: number[] = [];
    for (let turn = 1; turn <= 10; turn++) {
      await new WaymarkSession({ storage, sessionId: "kept", keepLast: 3 }).addItems([says(`turn ${turn}`)]);
      rows.push(await database.countRows("kept"));
    }
    expect(rows).toEqual([1, 2, 3, 4, 5, 3, 4, 5, 3, 4]);
    const session = new WaymarkSession({ storage, sessionId: "kept" });
    expect(contents(await session.getItems())).toEqual(Array.from({ length: 10 }, (_, index) => `turn ${index + 1}`));
  });

  it("remembers the last 100 operations", async () => {
    const session = new WaymarkSession({ storage });
    for (let n = 1; n <= 101; n++) await session.applyHistoryTransaction(append(`operation ${n}`, says(`${n}`)));
    await session.applyHistoryTransaction(append("operation 2", says("2")));
    expect(await session.getItems()).toHaveLength(101);
    await session.applyHistoryTransaction(append("operation 1", says("1"))); // the 102nd: this one is forgotten
    expect(await session.getItems()).toHaveLength(102);
  });

  it("takes space for the changes only: a long session is little larger than its items", async () => {
    const session = new WaymarkSession({ storage, sessionId: "long" });
    for (let turn = 1; turn <= 200; turn++) await session.addItems([says(`${turn} ${randomUUID().repeat(10)}`)]);
    const { stateBytes, storedBytes } = await storage.stats({ agentId: "long" });
    expect(stateBytes).toBeGreaterThan(7_500_000);
    expect(storedBytes).toBeLessThan(100_000);
  });

  it("begins with the items that others add while it is cleared, between any two steps", async () => {
    const adding = new WaymarkSession({ storage, sessionId: "cleared meanwhile" });
    const steps = new Set(["storeCheckpoint", "pruneCheckpoints", "deleteCheckpoint"]);
    const interrupted = new Proxy(storage, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name, target);
        if (typeof method !== "function") return method;
        return async (...args: unknown[]) => {
          if (steps.delete(String(name))) await adding.addItems([says(`before ${String(name)}`)]);
          return await method.apply(target, args);
        };
      },
    });
    await adding.addItems([says("old")]);
    await new WaymarkSession({ storage: interrupted, sessionId: "cleared meanwhile" }).clearSession();
    // Items added before the first step are removed too.
    expect(contents(await adding.getItems())).toEqual(["before pruneCheckpoints", "before deleteCheckpoint"]);
    expect(steps.size).toBe(0);
  });

  it("reports a checkpoint of another program in its namespace", async () => {
    const other = { agentId: "not a session", namespace: "session", name: "secret", createdAt: 1 };
    await storage.storeCheckpoint({ ...other, state: { messages: ["secret"] } });
    const session = new WaymarkSession({ storage, sessionId: "not a session" });
    const error = await session.getItems().catch((error: unknown) => error);
    expect(error).toMatchObject({
      code: "UNSUPPORTED_FORMAT",
      message: expect.stringContaining("not stored by a session"),
    });
    await expect(session.addItems([says("one")])).rejects.toMatchObject({ code: "UNSUPPORTED_FORMAT" });
    expect(await database.countRows("not a session")).toBe(1);
  });

  it("can be cleared if it cannot be read", async () => {
    const other = { agentId: "unreadable", namespace: "session", name: "secret", createdAt: 1 };
    await storage.storeCheckpoint({ ...other, state: 1 });
    await new WaymarkSession({ storage, sessionId: "unreadable" }).clearSession();
    expect(await database.countRows("unreadable")).toBe(0);
  });

  const wrong = (value: unknown) => value as never;
  const circle: Record<string, unknown> = { role: "user", content: "secret" };
  circle["self"] = circle;
  const refusals: readonly [string, (session: WaymarkSession) => Promise<unknown>, string, string][] = [
    ["items that are no array", (s) => s.addItems(wrong("secret")), "INVALID_ARGUMENT", "items"],
    ["an item that is no object", (s) => s.addItems(wrong([says("a"), "secret"])), "INVALID_ARGUMENT", "items[1]"],
    [
      "a function",
      (s) => s.addItems([{ ...says("secret"), providerData: { secret: () => "secret" } }]),
      "UNSUPPORTED_VALUE",
      "items",
    ],
    ["a cycle", (s) => s.addItems([wrong(circle)]), "UNSUPPORTED_VALUE", "cycle"],
    ["mutations that are no array", (s) => s.applyHistoryMutations(wrong({})), "INVALID_ARGUMENT", "mutations"],
    ["an empty operationId", (s) => s.applyHistoryTransaction(append(" ")), "INVALID_ARGUMENT", "args.operationId"],
    [
      "a transaction of another type",
      (s) => s.applyHistoryTransaction(wrong({ operationId: "a", transaction: { type: "clear", items: [] } })),
      "INVALID_ARGUMENT",
      "transaction.type",
    ],
    [
      "a transaction with an unknown member",
      (s) => s.applyHistoryTransaction(wrong({ operationId: "a", transaction: { type: "append_items", itmes: [] } })),
      "INVALID_ARGUMENT",
      "itmes",
    ],
    [
      "a transaction that cannot be compared",
      (s) => s.applyHistoryTransaction(append("a", { ...says("secret"), providerData: { secret: new Date(1) } })),
      "UNSUPPORTED_VALUE",
      "transaction",
    ],
    [
      "a suffix that the session does not end with",
      (s) =>
        s.applyHistoryTransaction({
          operationId: "a",
          transaction: { type: "replace_suffix", expectedSuffix: [says("secret")], replacement: [] },
        }),
      "CONFLICT",
      "expectedSuffix",
    ],
  ];
  it.each(refusals)("refuses %s, names the field, shows no item and changes nothing", async (_, call, code, named) => {
    const session = new WaymarkSession({ storage });
    await session.addItems([says("secret of the session")]);
    const error = await call(session).then(
      () => "nothing was thrown",
      (error: unknown) => error,
    );
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(named) });
    const shown = [error, (error as Error).cause].map((one) => `${one} ${(one as Error | undefined)?.stack}`).join();
    expect(shown).not.toContain("secret");
    expect(contents(await session.getItems())).toEqual(["secret of the session"]);
  });

  it.each([
    [{}, "options.storage"],
    [{ storage: {} }, "options.storage"],
    [{ sessionId: "" }, "options.sessionId"],
    [{ sessionId: "ë".repeat(128) }, "options.sessionId"],
    [{ namespace: 1 }, "options.namespace"],
    [{ keepLast: 0 }, "options.keepLast"],
    [{ sessionID: "a" }, '"sessionID"'],
  ])("refuses the options %o", (options, named) => {
    const given =
      Object.keys(options).includes("storage") || named === "options.storage" ? options : { storage, ...options };
    expect(() => new WaymarkSession(given as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(named) }),
    );
  });
});
