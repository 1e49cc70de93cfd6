import type { AgentCheckpointListItem, CheckpointStorage, NamedAgentCheckpoint, PrunePolicy } from "@waymark/core";
import { expect } from "vitest";
import { collect, newAgent } from "../bench.ts";
import { deepCopy } from "../deep-copy.ts";
import { refusal } from "../errors.ts";
import { firstDifference } from "../first-difference.ts";
import { idAt, timeOf } from "../ids.ts";
import { type Draft, edited, isDraft, newDraft } from "./draft.ts";
import type { Operation, Policy, StoreOperation } from "./operations.ts";

const NAMESPACES = ["", "sub"] as const;
const HOUR_MS = 3_600_000;

/** Storages on one store, each opened with other options: a sequence of operations uses all of them. */
export interface Storages {
  /** Returns the storage at this index, modulo their number. */
  at(index: number): CheckpointStorage;
  /** Closes a storage and opens it again. */
  reopen(index: number): Promise<void>;
  /** A storage without a cache. */
  readonly cold: CheckpointStorage;
}

/** A checkpoint as it must be retrieved. */
type ExpectedCheckpoint = NamedAgentCheckpoint & { readonly id: string; readonly namespace: string };

/** A store under way. */
interface Started {
  /** The checkpoint to expect under the id that the call resolves to. */
  readonly expected: Omit<ExpectedCheckpoint, "id">;
  readonly call: Promise<string>;
  /** `true`: the call must reject with `CONFLICT`. */
  readonly conflicts: boolean;
}

/** Model of a checkpoint storage: checkpoints in a Map. It runs operations on real storages and compares their results. */
export class Model {
  readonly #storages: Storages;
  readonly #keepsTombstones: boolean;
  readonly #agents = [newAgent("model"), newAgent("model")] as const;
  readonly #stored = new Map<string, ExpectedCheckpoint>();
  readonly #removed = new Map<string, ExpectedCheckpoint>();
  readonly #drafts = new Map<string, Draft>();
  #turn = 0;

  constructor(
    storages: Storages,
    { keepsTombstones = false }: { readonly keepsTombstones?: boolean | undefined } = {},
  ) {
    this.#storages = storages;
    this.#keepsTombstones = keepsTombstones;
  }

  async run(operation: Operation): Promise<void> {
    switch (operation.do) {
      case "store":
        return await this.#finish(this.#start(operation));
      case "store at once":
        return await this.#storeAtOnce(operation.stores);
      case "race":
        return await this.#race(operation.stores);
      case "store again":
        return await this.#storeAgain(operation);
      case "store removed":
        return await this.#storeRemoved(operation);
      case "retrieve and overwrite":
        return await this.#overwrite(operation);
      case "retrieve removed": {
        const id = choose([...this.#removed.keys()], operation.pick) ?? idAt(Date.now());
        expect(await this.#storages.at(operation.storage).retrieveCheckpoint(id)).toBeNull();
        return;
      }
      case "retrieve latest":
        return await this.#retrieveLatest(operation);
      case "list":
        return await this.#list(operation);
      case "restore":
        return await this.#restore(operation);
      case "follow ancestors":
        return await this.#followAncestors(operation);
      case "delete":
        return await this.#delete(operation);
      case "delete agent":
        return await this.#deleteAgent(operation);
      case "prune":
        return await this.#prune(operation);
      case "everything at once":
        return await this.#everythingAtOnce(operation);
      case "reopen":
        return await this.#storages.reopen(operation.storage);
    }
  }

  /** Compares the whole store with the model. */
  async check(): Promise<void> {
    for (const agentId of this.#agents) {
      const checkpoints = this.#of(agentId);
      const items = await this.#storages.at(0).listCheckpoints({ agentId });
      expect(items).toStrictEqual(checkpoints.map(itemOf));
      const stats = await this.#storages.at(0).stats({ agentId });
      expect(stats.checkpoints).toBe(checkpoints.length);
      expect(stats.longestChain).toBeLessThanOrEqual(checkpoints.length);
      expect(stats.longestChain).toBeGreaterThanOrEqual(Math.min(checkpoints.length, 1));
      const storages = [this.#storages.cold, this.#storages.at(this.#turn)];
      await Promise.all(
        storages.flatMap((storage) => checkpoints.map((expected) => this.#retrieve(storage, expected))),
      );
      for (const namespace of NAMESPACES) {
        const latest = await this.#storages.cold.retrieveLatestCheckpoint(agentId, { namespace });
        expectSame(latest, this.#of(agentId, namespace)[0] ?? null);
      }
    }
    const removed = [...this.#removed.keys()].slice(-3);
    for (const id of removed) expect(await this.#storages.cold.retrieveCheckpoint(id)).toBeNull();
  }

  /** Deletes everything that the sequence has stored. */
  async end(): Promise<void> {
    for (const agentId of this.#agents) {
      expect(await this.#storages.at(this.#turn).deleteAgent(agentId)).toBe(this.#of(agentId).length);
    }
  }

  #agent(index: number): string {
    return this.#agents[index % this.#agents.length] as string;
  }

  /** The checkpoints of an agent, newest first. */
  #of(agentId: string, namespace?: string): ExpectedCheckpoint[] {
    return [...this.#stored.values()]
      .filter((stored) => stored.agentId === agentId && (namespace === undefined || stored.namespace === namespace))
      .sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  #pick(index: number): ExpectedCheckpoint | undefined {
    return choose([...this.#stored.values()], index);
  }

  #put(checkpoint: ExpectedCheckpoint): void {
    this.#stored.set(checkpoint.id, checkpoint);
    this.#removed.delete(checkpoint.id);
  }

  #remove(id: string): void {
    const checkpoint = this.#stored.get(id);
    if (checkpoint === undefined) return;
    this.#removed.set(id, checkpoint);
    this.#stored.delete(id);
  }

  /** Calls `storeCheckpoint` without waiting: later changes of the draft must not be stored. */
  #start(operation: StoreOperation, ifLatest?: string | null): Started {
    const agentId = this.#agent(operation.agent);
    const namespace = NAMESPACES[operation.namespace % NAMESPACES.length] as string;
    const latest = this.#of(agentId, namespace)[0];
    const { parent, state } = this.#continue(operation, agentId, namespace, latest);
    this.#turn += 1;
    const hours = operation.hoursAgo;
    // An id of the caller's own is below the latest one, so it cannot be stored after it.
    const own =
      hours === null || ifLatest !== undefined ? {} : { id: idAt(Date.now() - hours * HOUR_MS - HOUR_MS / 2) };
    const checkpoint = {
      agentId,
      namespace,
      name: `turn ${this.#turn}`,
      createdAt: this.#turn,
      ...(parent === undefined ? {} : { parentId: parent }),
      ...(operation.pinned ? { metadata: { pin: true, turn: this.#turn } } : {}),
    };
    const guard = ifLatest !== undefined ? { ifLatest } : "id" in own ? {} : guardOf(operation, latest?.id);
    const expected = { ...checkpoint, state: deepCopy(state) };
    const call = this.#storages.at(operation.storage).storeCheckpoint({ ...checkpoint, ...own, state }, guard);
    return {
      expected,
      call,
      conflicts: operation.ifLatest === "wrong" && "ifLatest" in guard && ifLatest === undefined,
    };
  }

  /** Returns the state to store and its parent: the next one of the agent's timeline, or of the checkpoint where it forks. */
  #continue(operation: StoreOperation, agentId: string, namespace: string, latest: ExpectedCheckpoint | undefined) {
    const timeline = `${agentId} ${namespace}`;
    let draft = this.#drafts.get(timeline) ?? newDraft();
    let parent: string | undefined;
    if (operation.parent === "latest") parent = latest?.id;
    else if (operation.parent !== "none") {
      const label = "label" in operation.parent;
      const from = this.#pick("label" in operation.parent ? operation.parent.label : operation.parent.fork);
      parent = from?.id;
      if (!label && isDraft(from?.state)) draft = deepCopy(from.state); // as an agent that has retrieved it
    }
    for (const edit of operation.edits) draft = edited(draft, edit, operation.inPlace);
    this.#drafts.set(timeline, draft);
    const replacement = operation.edits.find((edit) => edit.edit === "replace");
    return { parent, state: replacement === undefined ? draft : deepCopy(replacement.value) };
  }

  async #finish({ expected, call, conflicts }: Started): Promise<void> {
    if (conflicts) await refusal(call, "CONFLICT");
    else this.#put({ ...expected, id: await call });
  }

  async #storeAtOnce(stores: readonly StoreOperation[]): Promise<void> {
    const started = stores.map((store) => this.#start({ ...store, ifLatest: "any" }));
    await Promise.all(started.map((store) => this.#finish(store)));
  }

  async #race(stores: readonly StoreOperation[]): Promise<void> {
    const [{ agent, namespace }] = stores as readonly [StoreOperation];
    const latest = this.#of(this.#agent(agent), NAMESPACES[namespace % NAMESPACES.length])[0];
    const started = stores.map((store) => this.#start({ ...store, agent, namespace }, latest?.id ?? null));
    const outcomes = await Promise.allSettled(started.map(({ call }) => call));
    const won = outcomes.flatMap((outcome, index) => {
      if (outcome.status === "fulfilled") return [{ ...(started[index] as Started).expected, id: outcome.value }];
      expect(outcome.reason).toMatchObject({ code: "CONFLICT" });
      return [];
    });
    expect(won).toHaveLength(1);
    this.#put(won[0] as ExpectedCheckpoint);
  }

  async #storeAgain({ storage, pick, changed }: { storage: number; pick: number; changed: boolean }): Promise<void> {
    const expected = this.#pick(pick);
    if (expected === undefined) return;
    const again = { ...expected, state: deepCopy(expected.state) };
    const call = this.#storages.at(storage).storeCheckpoint(changed ? { ...again, state: [again.state] } : again);
    if (changed) await refusal(call, "CONFLICT");
    else expect(await call).toBe(expected.id);
  }

  async #storeRemoved({ storage, pick, changed }: { storage: number; pick: number; changed: boolean }): Promise<void> {
    const removed = choose([...this.#removed.values()], pick);
    if (removed === undefined) return;
    const expected = changed ? { ...removed, state: { again: deepCopy(removed.state) } } : removed;
    const call = this.#storages.at(storage).storeCheckpoint({ ...expected, state: deepCopy(expected.state) });
    if (this.#keepsTombstones) {
      await refusal(call, "CONFLICT");
      return;
    }
    expect(await call).toBe(expected.id);
    this.#put(expected);
  }

  async #retrieve(storage: CheckpointStorage, expected: ExpectedCheckpoint): Promise<void> {
    expectSame(await storage.retrieveCheckpoint(expected.id), expected);
  }

  /** Overwrites a retrieved state: the caller owns it, so nothing of that may be retrieved next. */
  async #overwrite({ storage, pick }: { storage: number; pick: number }): Promise<void> {
    const expected = this.#pick(pick);
    if (expected === undefined) return;
    const reader = this.#storages.at(storage);
    const retrieved = await reader.retrieveCheckpoint(expected.id);
    expectSame(retrieved, expected);
    overwrite(retrieved?.state);
    await this.#retrieve(reader, expected);
  }

  async #restore({ storage, pick, guarded }: { storage: number; pick: number; guarded: boolean }): Promise<void> {
    const expected = this.#pick(pick);
    if (expected === undefined) return;
    const { id: parentId, agentId, namespace } = expected;
    const latest = this.#of(agentId, namespace)[0] as ExpectedCheckpoint;
    const id = await this.#storages.at(storage).restoreCheckpoint(parentId, guarded ? { ifLatest: latest.id } : {});
    expect(id > latest.id).toBe(true);
    const restored = await this.#storages.cold.retrieveCheckpoint(id);
    this.#put({ ...expected, id, parentId, createdAt: restored?.createdAt ?? Number.NaN });
  }

  async #retrieveLatest(operation: { storage: number; agent: number; namespace: number }): Promise<void> {
    const agentId = this.#agent(operation.agent);
    const namespace = NAMESPACES[operation.namespace % NAMESPACES.length] as string;
    const latest = await this.#storages.at(operation.storage).retrieveLatestCheckpoint(agentId, { namespace });
    expectSame(latest, this.#of(agentId, namespace)[0] ?? null);
  }

  async #list({ storage, agent, limit }: { storage: number; agent: number; limit: number }): Promise<void> {
    const agentId = this.#agent(agent);
    const items = this.#of(agentId).map(itemOf);
    const lister = this.#storages.at(storage);
    expect(await lister.listCheckpoints({ agentId, limit })).toStrictEqual(items.slice(0, limit));
    const [newest] = items;
    if (newest?.parentId === undefined) return;
    const children = items.filter(({ parentId }) => parentId === newest.parentId);
    expect(await lister.listCheckpoints({ agentId, parentId: newest.parentId })).toStrictEqual(children);
  }

  async #followAncestors({ storage, pick }: { storage: number; pick: number }): Promise<void> {
    const start = this.#pick(pick);
    const ancestors = new Map<string, ExpectedCheckpoint>();
    for (let at = start; at !== undefined && !ancestors.has(at.id); at = this.#stored.get(at.parentId ?? ""))
      ancestors.set(at.id, at);
    const found = await collect(this.#storages.at(storage).iterateAncestors(start?.id ?? idAt(0)));
    expect(found).toStrictEqual([...ancestors.values()].map(itemOf));
  }

  async #delete({ storage, pick }: { storage: number; pick: number }): Promise<void> {
    const expected = this.#pick(pick);
    const id = expected?.id ?? idAt(Date.now());
    expect(await this.#storages.at(storage).deleteCheckpoint(id)).toBe(expected !== undefined);
    this.#remove(id);
  }

  async #deleteAgent(operation: { storage: number; agent: number; namespace: number | null }): Promise<void> {
    const agentId = this.#agent(operation.agent);
    const namespace = operation.namespace === null ? undefined : NAMESPACES[operation.namespace % NAMESPACES.length];
    const doomed = this.#of(agentId, namespace);
    const query = namespace === undefined ? {} : { namespace };
    expect(await this.#storages.at(operation.storage).deleteAgent(agentId, query)).toBe(doomed.length);
    for (const { id } of doomed) this.#remove(id);
  }

  async #prune({ storage, agent, ...policy }: { storage: number; agent: number } & Policy): Promise<void> {
    const agentId = this.#agent(agent);
    const namespaces = policy.namespace === null ? NAMESPACES : [NAMESPACES[policy.namespace % 2] as string];
    const timelines = namespaces.map((namespace) => this.#of(agentId, namespace));
    const doomed = timelines.flatMap((timeline) => pruned(timeline, policy));
    const result = await this.#storages.at(storage).pruneCheckpoints(policyOf(agentId, policy));
    expect(result).toMatchObject({ examined: timelines.flat().length, removed: doomed.length });
    if (!policy.dryRun) for (const { id } of doomed) this.#remove(id);
  }

  async #everythingAtOnce(operation: Extract<Operation, { do: "everything at once" }>): Promise<void> {
    const agentId = this.#agent(operation.agent);
    const doomed = [...new Set(operation.deletes.map((pick) => choose(this.#of(agentId), pick)?.id))].filter(
      (id) => id !== undefined,
    );
    const read = operation.reads.flatMap((pick) => this.#pick(pick) ?? []);
    const started = operation.stores.map((store) => this.#start({ ...store, agent: operation.agent, ifLatest: "any" }));
    const pruning = this.#storages.at(1).pruneCheckpoints({ agentId, keepLast: operation.keepLast, batchSize: 2 });
    const [ids, deleted, found] = await Promise.all([
      Promise.all(started.map(({ call }) => call)),
      Promise.all(doomed.map((id, index) => this.#storages.at(index + 2).deleteCheckpoint(id))),
      Promise.all(read.map(({ id }, index) => this.#storages.at(index).retrieveCheckpoint(id))),
      pruning,
    ]);
    for (const [index, id] of ids.entries()) this.#put({ ...(started[index] as Started).expected, id });
    const candidates = NAMESPACES.flatMap((namespace) => this.#of(agentId, namespace).slice(operation.keepLast));
    const mayBeRemoved = new Set([...doomed, ...candidates.map(({ id }) => id)]);
    const reads = read.map((expected, index) => [expected, found[index] ?? null] as const);
    for (const [expected, checkpoint] of reads) {
      if (checkpoint !== null || !mayBeRemoved.has(expected.id)) expectSame(checkpoint, expected);
    }
    const listed = new Set((await this.#storages.cold.listCheckpoints({ agentId })).map(({ id }) => id));
    for (const [index, id] of doomed.entries()) if (deleted[index]) expect(listed).not.toContain(id);
    for (const { id } of this.#of(agentId)) {
      if (listed.has(id)) continue;
      expect(mayBeRemoved, "the checkpoints that may have been pruned or deleted").toContain(id);
      this.#remove(id);
    }
  }
}

function guardOf({ ifLatest }: StoreOperation, latest: string | undefined): { readonly ifLatest?: string | null } {
  if (ifLatest === "any") return {};
  if (ifLatest === "right") return { ifLatest: latest ?? null };
  return { ifLatest: latest === undefined ? idAt(Date.now() - HOUR_MS) : null };
}

function policyOf(agentId: string, policy: Policy): PrunePolicy {
  return {
    agentId,
    ...(policy.namespace === null ? {} : { namespace: NAMESPACES[policy.namespace % 2] as string }),
    ...(policy.keepLast === null ? {} : { keepLast: policy.keepLast }),
    ...(policy.keepWithinHours === null ? {} : { keepWithinMs: policy.keepWithinHours * HOUR_MS }),
    // The policy needs a rule; this one keeps everything younger than a minute.
    keepEvery: [
      { everyMs: HOUR_MS, forMs: 60_000 },
      ...policy.keepEveryHours.map((rule) => ({ everyMs: rule.every * HOUR_MS, forMs: rule.for * HOUR_MS })),
    ],
    ...(policy.keepPinned ? { keepMetadata: { pin: true } } : {}),
    batchSize: policy.batchSize,
    dryRun: policy.dryRun,
  };
}

/** Returns the checkpoints of a timeline, given newest first, that a policy removes. */
function pruned(timeline: readonly ExpectedCheckpoint[], policy: Policy): ExpectedCheckpoint[] {
  const now = Date.now();
  const rules = [
    { every: 1, forMs: 60_000 },
    ...policy.keepEveryHours.map((rule) => ({ every: rule.every, forMs: rule.for * HOUR_MS })),
  ];
  const kept = new Set(timeline.slice(0, Math.max(1, policy.keepLast ?? 1)));
  for (const checkpoint of timeline) {
    const age = now - timeOf(checkpoint.id);
    if (policy.keepWithinHours !== null && age <= policy.keepWithinHours * HOUR_MS) kept.add(checkpoint);
    if (policy.keepPinned && checkpoint.metadata?.["pin"] === true) kept.add(checkpoint);
  }
  for (const { every, forMs } of rules) {
    const periods = new Set<number>();
    for (const checkpoint of timeline) {
      const period = Math.floor(timeOf(checkpoint.id) / (every * HOUR_MS));
      if (now - timeOf(checkpoint.id) > forMs || periods.has(period)) continue;
      periods.add(period);
      kept.add(checkpoint);
    }
  }
  return timeline.filter((checkpoint) => !kept.has(checkpoint));
}

function itemOf({ state: _, namespace, ...item }: ExpectedCheckpoint): AgentCheckpointListItem {
  return (namespace === "" ? item : { ...item, namespace }) as AgentCheckpointListItem;
}

function expectSame(
  checkpoint: { readonly id: string; readonly state: unknown } | null,
  expected: ExpectedCheckpoint | null,
): void {
  if (checkpoint === null || expected === null) {
    expect(checkpoint?.id ?? null).toBe(expected?.id ?? null);
    return;
  }
  const { state, ...item } = checkpoint;
  expect(item).toStrictEqual(itemOf(expected));
  expect(firstDifference(state, expected.state, "state")).toBeNull();
}

function choose<Item>(items: readonly Item[], index: number): Item | undefined {
  return items[index % Math.max(1, items.length)];
}

/** Overwrites everything in a value that can be changed, at every level. */
function overwrite(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  expect(Object.isFrozen(value) && Object.keys(value).length > 0, "a retrieved state that is frozen").toBe(false);
  if (value instanceof Date) value.setTime(1);
  else if (value instanceof Uint8Array) value.fill(1);
  else if (value instanceof Map) {
    for (const item of value.values()) overwrite(item);
    value.clear();
  } else if (value instanceof Set) {
    for (const item of value) overwrite(item);
    value.clear();
  } else {
    for (const item of Object.values(value)) overwrite(item);
    if (Array.isArray(value)) value.length = 0;
    else for (const key of Object.keys(value)) Reflect.set(value, key, "overwritten");
  }
}
