import type { CheckpointStorage, ProviderConfig } from "@waymark/core";
import { createCheckpointStorage as openMysql } from "@waymark/mysql";
import { createCheckpointStorage as openPostgres } from "@waymark/postgres";
import { createCheckpointStorage as openSqlite } from "@waymark/sqlite";
import { namespaceOf } from "./order.ts";
import { type StoredRow, type StoredWrite, storedRows, storedWrites } from "./sql.ts";
import { digestOf } from "./states.ts";
import { placeOf, toDigestedWrite } from "./writes.ts";

export interface Item {
  readonly id: string;
  readonly turn: number;
  /** Digest of the state, or the reason why it cannot be read. */
  readonly digest: string;
}

/** Contents of one database, by agent, oldest first. */
export interface Contents {
  /** `main`, `backup`, … */
  readonly name: string;
  readonly items: ReadonlyMap<string, readonly Item[]>;
  /** Writes by checkpoint and place: the digest of each value, or the reason why it cannot be read. */
  readonly writes: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Rows of checkpoints, read around the storage. */
  readonly rows: readonly StoredRow[];
  readonly writeRows: readonly StoredWrite[];
}

/** Deadline of each read, so long that it never ends one: the fault is healed by now. */
const PATIENCE_MS = 60_000;

const openers: Readonly<Record<string, (options: never) => CheckpointStorage>> = {
  sqlite: openSqlite,
  postgres: openPostgres,
  mysql: openMysql,
};

/** Reads a whole database through a new storage, which shares no cache with those of the workers. */
export async function readContents(name: string, provider: ProviderConfig): Promise<Contents> {
  const open = openers[provider.type as string] as (options: ProviderConfig) => CheckpointStorage;
  const storage = open({ ...provider, operationTimeoutMs: PATIENCE_MS });
  try {
    const items = new Map<string, Item[]>();
    for (const agentId of await storage.listAgents()) items.set(agentId, await readTimeline(storage, agentId));
    const [rows, writeRows] = [await storedRows(provider), await storedWrites(provider)];
    const writes = new Map<string, ReadonlyMap<string, string>>();
    for (const id of new Set(writeRows.map(({ checkpointId }) => checkpointId))) {
      writes.set(id, await readWrites(storage, id));
    }
    return { name, items, writes, rows, writeRows };
  } finally {
    await storage.close();
  }
}

async function readTimeline(storage: CheckpointStorage, agentId: string): Promise<Item[]> {
  const items: Item[] = [];
  for await (const { id, name, namespace = "" } of storage.iterateCheckpoints({ agentId })) {
    const turn = namespace === namespaceOf(agentId) ? Number(name.replace("turn ", "")) : -1;
    const digest = await storage.retrieveCheckpoint(id).then(
      (checkpoint) => (checkpoint === null ? "listed, but not found" : digestOf(checkpoint.state)),
      (error) => `cannot be read: ${error.code}: ${error.message}`,
    );
    items.push({ id, turn, digest });
  }
  return items.reverse();
}

async function readWrites(storage: CheckpointStorage, checkpointId: string): Promise<Map<string, string>> {
  return await storage.listWrites(checkpointId).then(
    (writes) => new Map(writes.map(toDigestedWrite).map((write) => [placeOf(write), write.digest])),
    (error) => new Map([["some", `cannot be read: ${error.code}: ${error.message}`]]),
  );
}
