import type { CheckpointStorage, CheckpointWrite } from "@waymark/core";
import { idAfter } from "./ids.ts";

/** A defect of a storage: a promise that it breaks. */
export type Defect =
  | "loses checkpoints"
  | "stores checkpoints twice"
  | "alters states"
  | "returns an old checkpoint as the latest"
  | "keeps deleted checkpoints"
  | "omits checkpoints from lists"
  | "loses writes"
  | "alters writes"
  | "keeps the wrong writes"
  | "lists writes of deleted checkpoints"
  | "omits writes from lists";

/** Number of calls after which most defects show once. Calls that leave no room for the defect do not count. */
const EVERY = 3;

/** Wraps a storage so that it has a defect. Its calls report no error. */
export function withDefect(storage: CheckpointStorage, defect: Defect): CheckpointStorage {
  let calls = 0;
  const isDue = () => ++calls % EVERY === 0;
  const overrides: Partial<CheckpointStorage> = {};
  const { storeCheckpoint, deleteCheckpoint, listCheckpoints } = bound(storage);
  const { retrieveCheckpoint, retrieveLatestCheckpoint } = bound(storage);
  if (defect === "loses checkpoints") {
    overrides.storeCheckpoint = async (checkpoint, options) =>
      isDue() ? (checkpoint.id ?? idAfter(checkpoint.parentId ?? null)) : await storeCheckpoint(checkpoint, options);
  }
  if (defect === "stores checkpoints twice") {
    overrides.storeCheckpoint = async (checkpoint, options) => {
      if (isDue()) await storeCheckpoint({ ...checkpoint, id: idAfter(checkpoint.parentId ?? null) }, options);
      return await storeCheckpoint(checkpoint, options);
    };
  }
  if (defect === "alters states") {
    overrides.storeCheckpoint = async (checkpoint, options) =>
      await storeCheckpoint(isDue() ? { ...checkpoint, state: { turn: 0 } } : checkpoint, options);
  }
  if (defect === "returns an old checkpoint as the latest") {
    overrides.retrieveLatestCheckpoint = async (agentId, query) => {
      const latest = await retrieveLatestCheckpoint(agentId, query);
      const before = latest?.parentId === undefined ? null : await retrieveCheckpoint(latest.parentId);
      return before !== null && isDue() ? before : latest;
    };
  }
  if (defect === "keeps deleted checkpoints") {
    overrides.deleteCheckpoint = async (id, options) => (isDue() ? true : await deleteCheckpoint(id, options));
  }
  if (defect === "omits checkpoints from lists") {
    overrides.listCheckpoints = async (query) => {
      const items = await listCheckpoints(query);
      return items.length > 0 && isDue() ? items.slice(1) : items;
    };
  }
  const { appendWrites, listWrites } = bound(storage);
  if (defect === "loses writes") {
    overrides.appendWrites = async (id, writes, options) =>
      await appendWrites(id, isDue() ? writes.slice(1) : writes, options);
  }
  if (defect === "alters writes") {
    overrides.appendWrites = async (id, writes, options) =>
      await appendWrites(id, isDue() ? writes.map((write) => ({ ...write, value: "altered" })) : writes, options);
  }
  if (defect === "keeps the wrong writes") {
    // Below index 0 the first write instead of the last; from 0 on, within one append, the last instead of the first.
    overrides.appendWrites = async (id, writes, options) => {
      const there = await listWrites(id);
      const isThere = ({ taskId, index }: CheckpointWrite) =>
        there.some((write) => write.taskId === taskId && write.index === index);
      const others = writes.filter((write) => write.index >= 0 || !isThere(write));
      await appendWrites(id, others.reverse(), options);
    };
  }
  if (defect === "lists writes of deleted checkpoints") {
    const deleted = new Map<string, CheckpointWrite[]>();
    overrides.deleteCheckpoint = async (id, options) => {
      deleted.set(id, await listWrites(id));
      return await deleteCheckpoint(id, options);
    };
    overrides.listWrites = async (id, options) => deleted.get(id) ?? (await listWrites(id, options));
  }
  if (defect === "omits writes from lists") {
    overrides.listWrites = async (id, options) => {
      const writes = await listWrites(id, options);
      return writes.length > 0 && isDue() ? writes.slice(1) : writes;
    };
  }
  return new Proxy(storage, {
    get: (target, name) => Reflect.get(overrides, name) ?? bound(target)[name as keyof CheckpointStorage],
  });
}

function bound(storage: CheckpointStorage): CheckpointStorage {
  return new Proxy(storage, {
    get: (target, name) => {
      const member = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}
