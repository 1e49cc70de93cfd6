import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LabelIndex, RowLabel, RowQuery } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import type { StorageEvents } from "../../src/contract/status.ts";
import { ScriptedError, scriptedDialect, type Tables } from "../scripted-dialect.ts";
import { checkpoint, codeOf, scriptedStorage } from "../scripted-storage.ts";

const NOW = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
/** An id of a year before. */
const OLD_ID = "019439a0-0000-7000-8000-000000000001";
const metadata = { user: "42" };

let tables: Tables;
/** The index of labels. */
let labels: RowLabel[];
/** Called with each list of rows of all agents; it fails with its error. */
let onList: (query: RowQuery) => void;
let opened: CheckpointStorage[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW });
  tables = scriptedDialect();
  labels = [];
  opened = [];
  onList = () => {};
});
afterEach(async () => {
  vi.useRealTimers();
  for (const storage of opened) await storage.close();
});

/** Opens the storage of one more process. */
function openProcess(indexedLabels: readonly string[] = []): CheckpointStorage {
  const base = scriptedDialect({}, tables);
  const rowsOf = (key: string) =>
    labels.flatMap(({ label, checkpointId }) => (label === key ? (tables.rows.get(checkpointId) ?? []) : []));
  const index: LabelIndex = {
    list: async (key) => rowsOf(key).sort((one, other) => (one.id < other.id ? 1 : -1)),
    agents: async (key, after) => {
      const agents = new Set(rowsOf(key).map(({ agentId }) => agentId));
      return [...agents].sort().filter((agentId) => after === null || agentId > after);
    },
  };
  const { storage } = scriptedStorage({
    tables,
    options: { indexedLabels },
    script: {
      labels: index,
      commit: async (change, signal) => {
        const isDone = await base.commit(change, signal);
        const isThere = (one: RowLabel) =>
          labels.some(({ label, checkpointId }) => label === one.label && checkpointId === one.checkpointId);
        if (isDone) labels.push(...(change.label ?? []).filter((one) => !isThere(one)));
        return isDone;
      },
      list: async (query, signal) => {
        if (query.agentId === undefined && query.limit > 1) onList(query);
        return await base.list(query, signal);
      },
    },
  });
  opened.push(storage);
  return storage;
}

/** A process that has read that no label is indexed, and one that has had a label indexed since. */
async function openBoth(): Promise<{ unaware: CheckpointStorage; indexing: CheckpointStorage }> {
  const unaware = openProcess();
  await unaware.storeCheckpoint(checkpoint({ agentId: "first", metadata: { other: "1" } }));
  const indexing = openProcess(["user"]);
  await indexAll(indexing);
  return { unaware, indexing };
}

/** Indexes labels with a storage that was not used yet, and waits until it has done so in the background too. */
async function indexAll(storage: CheckpointStorage): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    let count = 0;
    storage.on("labelsIndexed", () => {
      count += 1;
      if (count === 2) resolve();
    });
  });
  await storage.indexLabels();
  await ended;
}

describe("a row with an old id, stored by a process that has not learnt of the label", () => {
  test("is erased", async () => {
    const { unaware, indexing } = await openBoth();
    await unaware.storeCheckpoint(checkpoint({ agentId: "imported", id: OLD_ID, metadata }));
    expect(await indexing.deleteAgents({ metadata })).toEqual({ agents: 1, checkpoints: 1 });
    expect(await indexing.listAgents()).toEqual(["first"]);
  });

  test("is erased also if another label was indexed long before", async () => {
    const { unaware, indexing } = await openBoth();
    vi.setSystemTime(NOW + 60 * MINUTE);
    await indexing.deleteAgents({ metadata });
    await unaware.storeCheckpoint(checkpoint({ agentId: "first", metadata: { other: "2" } }));
    const tenants = openProcess(["tenant"]);
    await indexAll(tenants);
    await unaware.storeCheckpoint(checkpoint({ agentId: "imported", id: OLD_ID, metadata: { tenant: "a" } }));
    expect(await tenants.deleteAgents({ metadata: { tenant: "a" } })).toEqual({ agents: 1, checkpoints: 1 });
  });

  test("is indexed a quarter of a minute later, without another call", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: NOW });
    const { unaware, indexing } = await openBoth();
    await unaware.storeCheckpoint(checkpoint({ agentId: "imported", id: OLD_ID, metadata }));
    expect(await indexing.listAgents({ metadata })).toEqual([]);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await indexing.listAgents({ metadata })).toEqual(["imported"]);
  });

  test("is stored with the label once the process has last read the labels five minutes ago", async () => {
    const { unaware, indexing } = await openBoth();
    vi.setSystemTime(NOW + 5 * MINUTE + 1);
    await unaware.storeCheckpoint(checkpoint({ agentId: "imported", id: OLD_ID, metadata }));
    expect(await indexing.listAgents({ metadata })).toEqual(["imported"]);
  });
});

test("a process that learns of a label indexes what it has stored without it", async () => {
  const { unaware, indexing } = await openBoth();
  const id = await unaware.storeCheckpoint(checkpoint({ agentId: "early", metadata }));
  expect(await indexing.listAgents({ metadata })).toEqual([]);
  await unaware.listCheckpoints({ metadata });
  await vi.waitFor(() => expect(labels).toMatchObject([{ checkpointId: id }]));
});

test("all checkpoints are looked at by an erasing until that was done ten minutes after the last new label", async () => {
  const { indexing } = await openBoth();
  const lists: RowQuery[] = [];
  onList = (query) => lists.push(query);
  const isWhole = async () => {
    lists.length = 0;
    await indexing.deleteAgents({ metadata });
    return lists.some(({ since }) => since === undefined);
  };
  expect(await isWhole()).toBe(true);
  vi.setSystemTime(NOW + 11 * MINUTE);
  expect(await isWhole()).toBe(true);
  expect(await isWhole()).toBe(false);
  await indexAll(openProcess(["tenant"]));
  expect(await isWhole()).toBe(true);
});

test("a query with several labels takes one that is indexed whole, whatever their order", async () => {
  const { indexing } = await openBoth();
  const id = await indexing.storeCheckpoint(checkpoint({ metadata: { tenant: "a", user: "42" } }));
  onList = () => {
    throw new ScriptedError("other");
  };
  const tenants = openProcess(["tenant"]);
  tenants.on("labelIndexingFailed", () => {});
  await codeOf(tenants.indexLabels());
  onList = () => {};
  expect(await codeOf(indexing.listCheckpoints({ metadata: { tenant: "a" } }))).toBe("STALE");
  const found = await indexing.listCheckpoints({ metadata: { tenant: "a", user: "42" } });
  expect(found.map((item) => item.id)).toEqual([id]);
});

test("indexing that failed in the background is tried again when the labels are read again", async () => {
  await openProcess().storeCheckpoint(checkpoint({ metadata }));
  onList = () => {
    throw new ScriptedError("other");
  };
  const storage = openProcess(["user"]);
  const indexed: StorageEvents["labelsIndexed"][] = [];
  const failed = new Promise<unknown>((resolve) => storage.on("labelIndexingFailed", resolve));
  storage.on("labelsIndexed", (event) => indexed.push(event));
  await storage.retrieveLatestCheckpoint("agent");
  expect(await failed).toMatchObject({ code: "DATABASE_ERROR" });
  onList = () => {};
  await storage.listCheckpoints({ metadata, allowStale: true });
  await vi.waitFor(() => expect(indexed).toMatchObject([{ labels: ["user"] }]));
  expect(await storage.listAgents({ metadata })).toEqual(["agent"]);
});
