import type { AgentCheckpointListItem, CheckpointStorage, NamedAgentCheckpoint, PrunePolicy } from "@waymark/core";
import { expect } from "vitest";
import { collect, newAgent } from "../bench.ts";
import { copyOf } from "../copy.ts";
import { refusal } from "../errors.ts";
import { idAt, timeOf } from "../ids.ts";
import { difference } from "../sameness.ts";
import { type Draft, edited, isDraft, newDraft } from "./draft.ts";
import type { Operation, Policy, StoreOperation } from "./operations.ts";

const NAMESPACES = ["", "sub"] as const;
const HOUR_MS = 3_600_000;

/** The storages on one store that a sequence works with, each opened in another way. */
export interface Storages {
  /** One of them, modulo their number. */
  at(index: number): CheckpointStorage;
  /** Closes it and opens it anew. */
  reopen(index: number): Promise<void>;
  /** One that remembers nothing of what it has read or written. */
  readonly cold: CheckpointStorage;
}

/** What must come back. */
type Known = NamedAgentCheckpoint & { readonly id: string; readonly namespace: string };

interface Started {
  /** What is to come back under the id that the call resolves to. */
  readonly expected: Omit<Known, "id">;
  readonly call: Promise<string>;
  readonly conflicts: boolean;
}

/** What a store is said to be: checkpoints in a Map, and what every call on it must answer. */
export class World {
  readonly #storages: Storages;
  readonly #keepsTombstones: boolean;
  readonly #agents = [newAgent("model"), newAgent("model")] as const;
  readonly #known = new Map<string, Known>();
  readonly #gone = new Map<string, Known>();
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
      case "store anew":
        return await this.#storeAnew(operation);
      case "retrieve and scribble":
        return await this.#scribble(operation);
      case "retrieve what is gone": {
        const id = choose([...this.#gone.keys()], operation.pick) ?? idAt(Date.now());
        expect(await this.#storages.at(operation.storage).retrieveCheckpoint(id)).toBeNull();
        return;
      }
      case "retrieve latest":
        return await this.#retrieveLatest(operation);
      case "list":
        return await this.#list(operation);
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

  /** All that must be there is there, as it was stored; all that must not be there is not. */
  async check(): Promise<void> {
    for (const agentId of this.#agents) {
      const known = this.#of(agentId);
      const items = await this.#storages.at(0).listCheckpoints({ agentId });
      expect(items).toStrictEqual(known.map(itemOf));
      const { checkpoints, longestChain } = await this.#storages.at(0).stats({ agentId });
      expect(checkpoints).toBe(known.length);
      expect(longestChain).toBeLessThanOrEqual(known.length);
      expect(longestChain).toBeGreaterThanOrEqual(Math.min(known.length, 1));
      const storages = [this.#storages.cold, this.#storages.at(this.#turn)];
      await Promise.all(storages.flatMap((storage) => known.map((expected) => this.#retrieve(storage, expected))));
      for (const namespace of NAMESPACES) {
        const latest = await this.#storages.cold.retrieveLatestCheckpoint(agentId, { namespace });
        expectSame(latest, this.#of(agentId, namespace)[0] ?? null);
      }
    }
    const gone = [...this.#gone.keys()].slice(-3);
    for (const id of gone) expect(await this.#storages.cold.retrieveCheckpoint(id)).toBeNull();
  }

  /** Leaves nothing behind. */
  async end(): Promise<void> {
    for (const agentId of this.#agents) {
      expect(await this.#storages.at(this.#turn).deleteAgent(agentId)).toBe(this.#of(agentId).length);
    }
  }

  #agent(index: number): string {
    return this.#agents[index % this.#agents.length] as string;
  }

  /** Newest first. */
  #of(agentId: string, namespace?: string): Known[] {
    return [...this.#known.values()]
      .filter((known) => known.agentId === agentId && (namespace === undefined || known.namespace === namespace))
      .sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  #pick(index: number): Known | undefined {
    return choose([...this.#known.values()], index);
  }

  #put(known: Known): void {
    this.#known.set(known.id, known);
    this.#gone.delete(known.id);
  }

  #lose(id: string): void {
    const known = this.#known.get(id);
    if (known === undefined) return;
    this.#gone.set(id, known);
    this.#known.delete(id);
  }

  /** Calls and does not wait: what is done to the draft afterwards must not be stored. */
  #start(operation: StoreOperation, ifLatest?: string | null): Started {
    const agentId = this.#agent(operation.agent);
    const namespace = NAMESPACES[operation.namespace % NAMESPACES.length] as string;
    const latest = this.#of(agentId, namespace)[0];
    const { parent, state } = this.#continue(operation, agentId, namespace, latest);
    this.#turn += 1;
    const hours = operation.hoursAgo;
    // An id of the caller's own is below the latest, so that it cannot be stored after it.
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
    const expected = { ...checkpoint, state: copyOf(state) };
    const call = this.#storages.at(operation.storage).storeCheckpoint({ ...checkpoint, ...own, state }, guard);
    return {
      expected,
      call,
      conflicts: operation.ifLatest === "wrong" && "ifLatest" in guard && ifLatest === undefined,
    };
  }

  /** The state that is handed in, and its parent: of the agent's line, or of the one where it forks. */
  #continue(operation: StoreOperation, agentId: string, namespace: string, latest: Known | undefined) {
    const line = `${agentId} ${namespace}`;
    let draft = this.#drafts.get(line) ?? newDraft();
    let parent: string | undefined;
    if (operation.parent === "latest") parent = latest?.id;
    else if (operation.parent !== "none") {
      const label = "label" in operation.parent;
      const from = this.#pick("label" in operation.parent ? operation.parent.label : operation.parent.fork);
      parent = from?.id;
      if (!label && isDraft(from?.state)) draft = copyOf(from.state); // as one who has retrieved it
    }
    for (const edit of operation.edits) draft = edited(draft, edit, operation.inPlace);
    this.#drafts.set(line, draft);
    const instead = operation.edits.find((edit) => edit.edit === "hand in");
    return { parent, state: instead === undefined ? draft : copyOf(instead.value) };
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
    this.#put(won[0] as Known);
  }

  async #storeAgain({ storage, pick, changed }: { storage: number; pick: number; changed: boolean }): Promise<void> {
    const known = this.#pick(pick);
    if (known === undefined) return;
    const again = { ...known, state: copyOf(known.state) };
    const call = this.#storages.at(storage).storeCheckpoint(changed ? { ...again, state: [again.state] } : again);
    if (changed) await refusal(call, "CONFLICT");
    else expect(await call).toBe(known.id);
  }

  async #storeAnew({ storage, pick, changed }: { storage: number; pick: number; changed: boolean }): Promise<void> {
    const gone = choose([...this.#gone.values()], pick);
    if (gone === undefined) return;
    const known = changed ? { ...gone, state: { anew: copyOf(gone.state) } } : gone;
    const call = this.#storages.at(storage).storeCheckpoint({ ...known, state: copyOf(known.state) });
    if (this.#keepsTombstones) {
      await refusal(call, "CONFLICT");
      return;
    }
    expect(await call).toBe(known.id);
    this.#put(known);
  }

  async #retrieve(storage: CheckpointStorage, expected: Known): Promise<void> {
    expectSame(await storage.retrieveCheckpoint(expected.id), expected);
  }

  /** What is retrieved is the caller's: what is done to it comes back to nobody. */
  async #scribble({ storage, pick }: { storage: number; pick: number }): Promise<void> {
    const known = this.#pick(pick);
    if (known === undefined) return;
    const reader = this.#storages.at(storage);
    const retrieved = await reader.retrieveCheckpoint(known.id);
    expectSame(retrieved, known);
    scribbleOver(retrieved?.state);
    await this.#retrieve(reader, known);
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
    const line = new Map<string, Known>();
    for (let at = start; at !== undefined && !line.has(at.id); at = this.#known.get(at.parentId ?? ""))
      line.set(at.id, at);
    const found = await collect(this.#storages.at(storage).iterateAncestors(start?.id ?? idAt(0)));
    expect(found).toStrictEqual([...line.values()].map(itemOf));
  }

  async #delete({ storage, pick }: { storage: number; pick: number }): Promise<void> {
    const known = this.#pick(pick);
    const id = known?.id ?? idAt(Date.now());
    expect(await this.#storages.at(storage).deleteCheckpoint(id)).toBe(known !== undefined);
    this.#lose(id);
  }

  async #deleteAgent(operation: { storage: number; agent: number; namespace: number | null }): Promise<void> {
    const agentId = this.#agent(operation.agent);
    const namespace = operation.namespace === null ? undefined : NAMESPACES[operation.namespace % NAMESPACES.length];
    const doomed = this.#of(agentId, namespace);
    const query = namespace === undefined ? {} : { namespace };
    expect(await this.#storages.at(operation.storage).deleteAgent(agentId, query)).toBe(doomed.length);
    for (const { id } of doomed) this.#lose(id);
  }

  async #prune({ storage, agent, ...policy }: { storage: number; agent: number } & Policy): Promise<void> {
    const agentId = this.#agent(agent);
    const namespaces = policy.namespace === null ? NAMESPACES : [NAMESPACES[policy.namespace % 2] as string];
    const lines = namespaces.map((namespace) => this.#of(agentId, namespace));
    const doomed = lines.flatMap((line) => notKept(line, policy));
    const result = await this.#storages.at(storage).pruneCheckpoints(policyOf(agentId, policy));
    expect(result).toStrictEqual({ examined: lines.flat().length, removed: doomed.length });
    if (!policy.dryRun) for (const { id } of doomed) this.#lose(id);
  }

  async #everythingAtOnce(operation: Extract<Operation, { do: "everything at once" }>): Promise<void> {
    const agentId = this.#agent(operation.agent);
    const doomed = [...new Set(operation.deletes.map((pick) => choose(this.#of(agentId), pick)?.id))].filter(
      (id) => id !== undefined,
    );
    const read = operation.reads.flatMap((pick) => this.#pick(pick) ?? []);
    const started = operation.stores.map((store) => this.#start({ ...store, agent: operation.agent, ifLatest: "any" }));
    const pruned = this.#storages.at(1).pruneCheckpoints({ agentId, keepLast: operation.keepLast, batchSize: 2 });
    const [ids, deleted, found] = await Promise.all([
      Promise.all(started.map(({ call }) => call)),
      Promise.all(doomed.map((id, index) => this.#storages.at(index + 2).deleteCheckpoint(id))),
      Promise.all(read.map(({ id }, index) => this.#storages.at(index).retrieveCheckpoint(id))),
      pruned,
    ]);
    for (const [index, id] of ids.entries()) this.#put({ ...(started[index] as Started).expected, id });
    const candidates = NAMESPACES.flatMap((namespace) => this.#of(agentId, namespace).slice(operation.keepLast));
    const mayBeGone = new Set([...doomed, ...candidates.map(({ id }) => id)]);
    const own = read.map((known, index) => [known, found[index] ?? null] as const);
    for (const [known, checkpoint] of own) {
      if (checkpoint !== null || !mayBeGone.has(known.id)) expectSame(checkpoint, known);
    }
    const listed = new Set((await this.#storages.cold.listCheckpoints({ agentId })).map(({ id }) => id));
    for (const [index, id] of doomed.entries()) if (deleted[index]) expect(listed).not.toContain(id);
    for (const { id } of this.#of(agentId)) {
      if (listed.has(id)) continue;
      expect(mayBeGone, "what may be pruned or deleted").toContain(id);
      this.#lose(id);
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
    // Without another rule this one keeps all that is younger than a minute.
    keepEvery: [
      { everyMs: HOUR_MS, forMs: 60_000 },
      ...policy.keepEveryHours.map((rule) => ({ everyMs: rule.every * HOUR_MS, forMs: rule.for * HOUR_MS })),
    ],
    ...(policy.keepPinned ? { keepMetadata: { pin: true } } : {}),
    batchSize: policy.batchSize,
    dryRun: policy.dryRun,
  };
}

/** What a policy removes of one agent and namespace, given newest first. */
function notKept(line: readonly Known[], policy: Policy): Known[] {
  const now = Date.now();
  const rules = [
    { every: 1, forMs: 60_000 },
    ...policy.keepEveryHours.map((rule) => ({ every: rule.every, forMs: rule.for * HOUR_MS })),
  ];
  const kept = new Set(line.slice(0, Math.max(1, policy.keepLast ?? 1)));
  for (const known of line) {
    const age = now - timeOf(known.id);
    if (policy.keepWithinHours !== null && age <= policy.keepWithinHours * HOUR_MS) kept.add(known);
    if (policy.keepPinned && known.metadata?.["pin"] === true) kept.add(known);
  }
  for (const { every, forMs } of rules) {
    const periods = new Set<number>();
    for (const known of line) {
      const period = Math.floor(timeOf(known.id) / (every * HOUR_MS));
      if (now - timeOf(known.id) > forMs || periods.has(period)) continue;
      periods.add(period);
      kept.add(known);
    }
  }
  return line.filter((known) => !kept.has(known));
}

function itemOf({ state: _, namespace, ...known }: Known): AgentCheckpointListItem {
  return namespace === "" ? known : { ...known, namespace };
}

function expectSame(checkpoint: { readonly id: string; readonly state: unknown } | null, expected: Known | null): void {
  if (checkpoint === null || expected === null) {
    expect(checkpoint?.id ?? null).toBe(expected?.id ?? null);
    return;
  }
  const { state, ...item } = checkpoint;
  expect(item).toStrictEqual(itemOf(expected));
  expect(difference(state, expected.state, "state")).toBeNull();
}

function choose<Item>(items: readonly Item[], index: number): Item | undefined {
  return items[index % Math.max(1, items.length)];
}

/** Changes all that can be changed of a value, at every level. */
function scribbleOver(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  expect(Object.isFrozen(value) && Object.keys(value).length > 0, "a retrieved state that is frozen").toBe(false);
  if (value instanceof Date) value.setTime(1);
  else if (value instanceof Uint8Array) value.fill(1);
  else if (value instanceof Map) {
    for (const item of value.values()) scribbleOver(item);
    value.clear();
  } else if (value instanceof Set) {
    for (const item of value) scribbleOver(item);
    value.clear();
  } else {
    for (const item of Object.values(value)) scribbleOver(item);
    if (Array.isArray(value)) value.length = 0;
    else for (const key of Object.keys(value)) Reflect.set(value, key, "scribbled over");
  }
}
