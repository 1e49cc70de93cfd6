import type { CheckpointStorage } from "@waymark/core";
import { idAfter } from "./ids.ts";

/** How a storage may break its promises. */
export type Lie = "loses" | "doubles" | "alters" | "answers with an old one" | "brings back" | "forgets in lists";

const EVERY = 3;

/** A storage that does as this one does, but at every third occasion breaks its promise without a word. */
export function liar(storage: CheckpointStorage, lie: Lie): CheckpointStorage {
  let occasions = 0;
  const isDue = () => ++occasions % EVERY === 0;
  const overrides: Partial<CheckpointStorage> = {};
  const { storeCheckpoint, deleteCheckpoint, listCheckpoints, retrieveLatestCheckpoint } = bound(storage);
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
      if (latest?.parentId === undefined || !isDue()) return latest;
      return (await storage.retrieveCheckpoint(latest.parentId)) ?? latest;
    };
  }
  if (lie === "brings back") {
    overrides.deleteCheckpoint = async (id, options) => (isDue() ? true : await deleteCheckpoint(id, options));
  }
  if (lie === "forgets in lists") {
    overrides.listCheckpoints = async (query) => {
      const items = await listCheckpoints(query);
      return isDue() ? items.slice(1) : items;
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
