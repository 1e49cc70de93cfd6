// Steps that change a store. The packages of an old commit and today's take the same steps. contentsAfter computes the contents
// that must be there afterwards.

import { createHash } from "node:crypto";

/** @import { CheckpointStorage, CheckpointWrite, NamedAgentCheckpoint, StoreOptions } from "@waymark/core" */

/**
 * @typedef {NamedAgentCheckpoint & { readonly id: string }} Checkpoint
 * @typedef {{ readonly agentId: string; readonly namespace?: string; readonly keepLast: number }} Policy
 * @typedef {{ readonly store: Checkpoint; readonly options: StoreOptions }} Store
 * @typedef {{ readonly append: readonly CheckpointWrite[]; readonly to: string }} Append
 * @typedef {{ readonly delete: string } | { readonly deleteAgent: string } | { readonly prune: Policy }} Removal
 * @typedef {{ readonly resume: string; readonly namespace: string }} Resume
 * @typedef {Store | Append | Removal | Resume} Step
 */

const BEGIN = Date.UTC(2026, 9, 1);
const MINUTE_MS = 60_000;

/**
 * Returns a UUIDv7 for a minute since the beginning: the same id for the same minute.
 * @param {number} minute
 */
function idAt(minute) {
  const time = (BEGIN + minute * MINUTE_MS).toString(16).padStart(12, "0");
  const rest = createHash("sha256").update(`checkpoint ${minute}`).digest("hex");
  const variant = (8 + (Number.parseInt(rest.slice(0, 1), 16) & 3)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(1, 4)}-${variant}${rest.slice(4, 7)}-${rest.slice(7, 19)}`;
}

/**
 * Returns an empty list of steps, with functions that add to it. Checkpoints get ids and times of consecutive minutes.
 * @param {number} firstMinute
 */
export function chapter(firstMinute) {
  /** @type {Step[]} */
  const steps = [];
  let minute = firstMinute;
  return {
    steps,
    /**
     * @param {Pick<NamedAgentCheckpoint, "agentId" | "state"> & Partial<NamedAgentCheckpoint>} checkpoint
     * @param {StoreOptions} options
     */
    store(checkpoint, options = {}) {
      const id = idAt(minute);
      const createdAt = BEGIN + minute * MINUTE_MS - 250; // a label of the agent's own
      steps.push({ store: { name: "turn", createdAt, ...checkpoint, id }, options });
      minute += 1;
      return id;
    },
    /** @type {(to: string, ...writes: CheckpointWrite[]) => void} */
    append: (to, ...writes) => void steps.push({ append: writes, to }),
    /** @type {(id: string) => void} */
    delete: (id) => void steps.push({ delete: id }),
    /** @type {(agentId: string) => void} */
    deleteAgent: (agentId) => void steps.push({ deleteAgent: agentId }),
    /** @type {(policy: Policy) => void} */
    prune: (policy) => void steps.push({ prune: policy }),
    /**
     * Adds a read of the latest checkpoint, which an agent does first when it goes on in a new process.
     * @param {string} agentId
     */
    resume: (agentId, namespace = "") => void steps.push({ resume: agentId, namespace }),
  };
}

/**
 * Takes steps on a storage, one after another.
 * @param {Pick<CheckpointStorage, "storeCheckpoint" | "appendWrites" | "deleteCheckpoint" | "deleteAgent" | "pruneCheckpoints" | "retrieveLatestCheckpoint">} storage
 * @param {readonly Step[]} steps
 */
export async function take(storage, steps) {
  for (const step of steps) {
    if ("store" in step) await storage.storeCheckpoint(step.store, step.options);
    else if ("append" in step) await storage.appendWrites(step.to, step.append);
    else if ("delete" in step) await storage.deleteCheckpoint(step.delete);
    else if ("deleteAgent" in step) await storage.deleteAgent(step.deleteAgent);
    else if ("prune" in step) await storage.pruneCheckpoints(step.prune);
    else await storage.retrieveLatestCheckpoint(step.resume, { namespace: step.namespace, allowStale: true });
  }
}

/**
 * Contents of a store.
 * @typedef {object} Contents
 * @property {ReadonlyMap<string, Checkpoint>} checkpoints
 * @property {ReadonlyMap<string, readonly CheckpointWrite[]>} writes by checkpoint, in the order of a list
 * @property {ReadonlySet<string>} deleted ids of deleted checkpoints
 */

/**
 * Computes the contents of a store after some steps.
 * @param {...(readonly Step[])} chapters
 * @returns {Contents}
 */
export function contentsAfter(...chapters) {
  /** @type {Map<string, Checkpoint>} */
  const checkpoints = new Map();
  /** @type {Map<string, Map<string, CheckpointWrite>>} */
  const writes = new Map();
  /** @type {Set<string>} */
  const deleted = new Set();

  /** @param {string} id */
  const remove = (id) => {
    checkpoints.delete(id);
    writes.delete(id);
    deleted.add(id);
  };

  for (const step of chapters.flat()) {
    if ("store" in step) {
      const { namespace = "", ...checkpoint } = step.store;
      checkpoints.set(checkpoint.id, namespace === "" ? checkpoint : { ...checkpoint, namespace });
    } else if ("append" in step) {
      if (deleted.has(step.to)) continue; // appended in the backup, after main had deleted the checkpoint
      const kept = writes.get(step.to) ?? new Map();
      writes.set(step.to, kept);
      for (const write of step.append) {
        const place = `${write.index} ${write.taskId}`;
        if (write.index < 0 || !kept.has(place)) kept.set(place, write);
      }
    } else if ("delete" in step) remove(step.delete);
    else if ("deleteAgent" in step) {
      for (const { id, agentId } of [...checkpoints.values()]) if (agentId === step.deleteAgent) remove(id);
    } else if ("prune" in step) for (const id of prunedBy([...checkpoints.values()], step.prune)) remove(id);
  }
  const listed = [...writes].map(
    /** @returns {[string, CheckpointWrite[]]} */
    ([id, kept]) => [id, [...kept.values()].sort(asListed)],
  );
  return { checkpoints, writes: new Map(listed), deleted };
}

/**
 * @param {readonly Checkpoint[]} checkpoints
 * @param {Policy} policy
 */
function prunedBy(checkpoints, { agentId, namespace, keepLast }) {
  const timelines = new Map();
  for (const checkpoint of checkpoints) {
    if (checkpoint.agentId !== agentId) continue;
    const own = checkpoint.namespace ?? "";
    if (namespace !== undefined && own !== namespace) continue;
    timelines.set(own, [...(timelines.get(own) ?? []), checkpoint.id]);
  }
  return [...timelines.values()].flatMap((ids) => ids.sort().slice(0, -keepLast));
}

/**
 * @param {CheckpointWrite} one
 * @param {CheckpointWrite} other
 */
function asListed(one, other) {
  return Buffer.compare(Buffer.from(one.taskId), Buffer.from(other.taskId)) || one.index - other.index;
}
