import type { CheckpointStorage, CheckpointWrite } from "@waymark/core";
import { idAfter } from "./ids.ts";

/** How a storage may break its promises. */
export type Lie =
  | "loses"
  | "doubles"
  | "alters"
  | "answers with an old one"
  | "brings back"
  | "forgets in lists"
  | "loses writes"
  | "alters writes"
  | "keeps the wrong writes"
  | "brings writes back"
  | "forgets writes in lists";

const EVERY = 3;

/**
 * A storage that does as this one does, but breaks its promise without a word, mostly at every third occasion: where there is
 * something to be withheld.
 */
export function liar(storage: CheckpointStorage, lie: Lie): CheckpointStorage {
  let occasions = 0;
  const isDue = () => ++occasions % EVERY === 0;
  const overrides: Partial<CheckpointStorage> = {};
  const { storeCheckpoint, deleteCheckpoint, listCheckpoints } = bound(storage);
  const { retrieveCheckpoint, retrieveLatestCheckpoint } = bound(storage);
  if (lie === "loses") {
    overrides.storeCheckpoint = async (checkpoint, options) =>
      isDue() ? (checkpoint.id ?? idAfter(checkpoint.parentId ?? null)) : await storeCheckpoint(checkpoint, options);
  }
  if (lie === "doubles") {
    overrides.storeCheckpoint = async (checkpoint, options) => {
      if (isDue()) await storeCheckpoint({ ...checkpoint, id: idAfter(checkpoint.parentId ?? null) }, options);
      return await storeCheckpoint(checkpoint, options);
    };
  }
  if (lie === "alters") {
    overrides.storeCheckpoint = async (checkpoint, options) =>
      await storeCheckpoint(isDue() ? { ...checkpoint, state: { turn: 0 } } : checkpoint, options);
  }
  if (lie === "answers with an old one") {
    overrides.retrieveLatestCheckpoint = async (agentId, query) => {
      const latest = await retrieveLatestCheckpoint(agentId, query);
      const before = latest?.parentId === undefined ? null : await retrieveCheckpoint(latest.parentId);
      return before !== null && isDue() ? before : latest;
    };
  }
  if (lie === "brings back") {
    overrides.deleteCheckpoint = async (id, options) => (isDue() ? true : await deleteCheckpoint(id, options));
  }
  if (lie === "forgets in lists") {
    overrides.listCheckpoints = async (query) => {
      const items = await listCheckpoints(query);
      return items.length > 0 && isDue() ? items.slice(1) : items;
    };
  }
  const { appendWrites, listWrites } = bound(storage);
  if (lie === "loses writes") {
    overrides.appendWrites = async (id, writes, options) =>
      await appendWrites(id, isDue() ? writes.slice(1) : writes, options);
  }
  if (lie === "alters writes") {
    overrides.appendWrites = async (id, writes, options) =>
      await appendWrites(id, isDue() ? writes.map((write) => ({ ...write, value: "altered" })) : writes, options);
  }
  if (lie === "keeps the wrong writes") {
    // Of those below 0 the first, and of those that come together from 0 on the last.
    overrides.appendWrites = async (id, writes, options) => {
      const there = await listWrites(id);
      const isThere = ({ taskId, index }: CheckpointWrite) =>
        there.some((write) => write.taskId === taskId && write.index === index);
      const others = writes.filter((write) => write.index >= 0 || !isThere(write));
      await appendWrites(id, others.reverse(), options);
    };
  }
  if (lie === "brings writes back") {
    const deleted = new Map<string, CheckpointWrite[]>();
    overrides.deleteCheckpoint = async (id, options) => {
      deleted.set(id, await listWrites(id));
      return await deleteCheckpoint(id, options);
    };
    overrides.listWrites = async (id, options) => deleted.get(id) ?? (await listWrites(id, options));
  }
  if (lie === "forgets writes in lists") {
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
