import { createHash, randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import {
  type AgentInputItem,
  applySessionHistoryMutations,
  type SessionHistoryMutation,
  type SessionHistoryRewriteArgs,
  type SessionHistoryRewriteAwareSession,
  type SessionHistoryTransaction,
  type SessionHistoryTransactionArgs,
  type SessionHistoryTransactionAwareSession,
} from "@openai/agents-core";
import { CheckpointError, type CheckpointStorage } from "@waymark/core";
import { integer, invalidArgument, members, oneOf, property, string } from "@waymark/core/kit";
import { checkAgentId, checkStorage } from "./arguments.ts";

export interface WaymarkSessionOptions {
  /** Where the session is kept. It stays the caller's, who closes it. */
  readonly storage: CheckpointStorage;
  /** The agent that the checkpoints belong to: 1 to 255 bytes of UTF-8. Default: a new UUID. */
  readonly sessionId?: string;
  /** The namespace of that agent: up to 1,024 bytes of UTF-8. No one else may store there. Default `"session"`. */
  readonly namespace?: string;
  /**
   * How many changes can be looked at afterwards, from 1. What is older is removed after every so many changes, so that
   * at most twice as many are there. Default: all of them, until the session is cleared.
   */
  readonly keepLast?: number;
}

/** What a checkpoint of a session holds: all of it. Storages write what has changed, so this is cheap. */
interface SessionState {
  readonly items: AgentInputItem[];
  /** The operations that were applied last, oldest first. */
  readonly operations: readonly Operation[];
}

interface Operation {
  readonly id: string;
  /** Of the transaction: SHA-256, in base64. */
  readonly digest: string;
}

interface Latest {
  /** `null`: the session is empty, and nothing is stored. */
  readonly id: string | null;
  readonly state: SessionState;
  /** How many changes there were since the session was cleared. */
  readonly change: number;
}

/** A new one each time: what is read belongs to the caller. */
const empty = (): SessionState => ({ items: [], operations: [] });
/** Some 100 bytes each, in the state; only runs with output guardrails apply any, and repeat them soon. */
const REMEMBERED_OPERATIONS = 100;
/** An attempt fails if another writer was quicker. So many in a row are no chance, and a loop should have an end. */
const MAX_ATTEMPTS = 1_000;

/**
 * A conversation of the OpenAI Agents SDK, kept in a checkpoint storage. Any number of processes may use a session at
 * once: every change is one checkpoint, stored only if no other came in between, and otherwise made anew on top of that
 * one. So changes are atomic, nothing that was added is lost, and each caller's items keep their order.
 *
 * Calls of one object take effect in the order in which they were made, awaited or not. Items are copied at the call.
 *
 * Every method may reject with what the storage does, see `CheckpointErrorCode`; no error holds an item. After `TIMEOUT`,
 * `UNAVAILABLE` or `ABORTED` a change may or may not have been made.
 */
export class WaymarkSession implements SessionHistoryRewriteAwareSession, SessionHistoryTransactionAwareSession {
  readonly #storage: CheckpointStorage;
  readonly #sessionId: string;
  readonly #namespace: string;
  readonly #keepLast: number | undefined;
  /** What this object has stored last. No caller has any of it. */
  #known: Latest | undefined;
  /** Settles when the call before has ended. */
  #before: Promise<unknown> = Promise.resolve();

  /** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
  constructor(options: WaymarkSessionOptions) {
    const {
      storage,
      sessionId = randomUUID(),
      namespace = "session",
      keepLast,
    } = members("options", options, ["storage", "sessionId", "namespace", "keepLast"]);
    this.#storage = checkStorage("options.storage", storage);
    this.#sessionId = checkAgentId("options.sessionId", sessionId);
    this.#namespace = string("options.namespace", namespace);
    if (keepLast !== undefined) {
      this.#keepLast = integer("options.keepLast", keepLast, 1, Number.MAX_SAFE_INTEGER, "changes");
    }
  }

  async getSessionId(): Promise<string> {
    return this.#sessionId;
  }

  /** The newest `limit` items, oldest first; none if it is 0 or less. Default: all. They are the caller's to change. */
  async getItems(limit?: number): Promise<AgentInputItem[]> {
    return await this.#inOrder(async () => {
      const { items } = (await this.#latest()).state;
      if (limit === undefined) return items;
      return limit <= 0 ? [] : items.slice(Math.max(items.length - limit, 0));
    });
  }

  /** Appends all of the items or none of them. */
  async addItems(items: AgentInputItem[]): Promise<void> {
    const added = copyItems("items", items);
    if (added.length === 0) return;
    const append = (state: SessionState) => ({ ...state, items: [...state.items, ...added] });
    await this.#change("addItems", append, { unseen: true });
  }

  /** Removes the newest item and returns it. Of any number of callers each gets another one. */
  async popItem(): Promise<AgentInputItem | undefined> {
    let popped: AgentInputItem | undefined;
    await this.#change("popItem", (state) => {
      popped = state.items.at(-1);
      return popped === undefined ? null : { ...state, items: state.items.slice(0, -1) };
    });
    return popped;
  }

  /**
   * Removes all items, all checkpoints of the session and what it knows of operations. What others add at the same time is
   * either gone with the rest, or the beginning of what comes next. Ended early, it can be called again.
   */
  async clearSession(): Promise<void> {
    await this.#inOrder(async () => {
      // Removing takes several commits. The empty state before it is where the session ends for all who add meanwhile: without
      // it they could go on from a checkpoint in the middle, and bring half of the session back.
      const end = await this.#end();
      if (end === null) return;
      await this.#storage.pruneCheckpoints({ ...this.#line, keepLast: 1 });
      await this.#storage.deleteCheckpoint(end);
      this.#known = undefined;
    });
  }

  /** Replaces what was stored, atomically; the SDK calls it after the history has been compacted. */
  async replaceHistoryWithCompaction(items: AgentInputItem[]): Promise<void> {
    const replacement = copyItems("items", items);
    await this.#change("replaceHistoryWithCompaction", (state) => ({ ...state, items: replacement }));
  }

  /** Applies all of the mutations at once, as the SDK defines them. */
  async applyHistoryMutations(args: SessionHistoryRewriteArgs): Promise<void> {
    const mutations = property(args, "mutations");
    if (!Array.isArray(mutations)) throw invalidArgument("args.mutations", "an array", mutations);
    const copies: SessionHistoryMutation[] = copy("args.mutations", mutations);
    await this.#change("applyHistoryMutations", (state) => {
      const items = applySessionHistoryMutations(state.items, copies);
      return isDeepStrictEqual(items, state.items) ? null : { ...state, items };
    });
  }

  /**
   * Applies the transaction once, however often and by whichever processes it is repeated, as long as its `operationId` is
   * among the last 100 of the session.
   * @throws CheckpointError `CONFLICT` if the operation was applied with another transaction, or if the session does not end
   *   in the suffix that is to be replaced. Nothing is changed then.
   */
  async applyHistoryTransaction(args: SessionHistoryTransactionArgs): Promise<void> {
    const { operationId, transaction } = copyTransaction(args);
    const digest = createHash("sha256").update(canonicalText(transaction)).digest("base64");
    await this.#change("applyHistoryTransaction", ({ items, operations }) => {
      const applied = operations.find(({ id }) => id === operationId);
      if (applied?.digest === digest) return null;
      if (applied) throw refused("this operationId to be new, but it was applied with another transaction");
      const remembered = [...operations, { id: operationId, digest }].slice(-REMEMBERED_OPERATIONS);
      return { items: applyTransaction(items, transaction), operations: remembered };
    });
  }

  get #line(): { readonly agentId: string; readonly namespace: string } {
    return { agentId: this.#sessionId, namespace: this.#namespace };
  }

  async #inOrder<Result>(call: () => Promise<Result>): Promise<Result> {
    const result = this.#before.then(call);
    this.#before = result.catch(() => {}); // the caller has the error
    return await result;
  }

  /**
   * Stores what `next` makes of the state, which is asked again if others were quicker; `null`: nothing is to be changed.
   * `unseen`: `next` is right whatever others have done, so the state is not read while it may be the one that is known.
   */
  async #change(
    name: string,
    next: (state: SessionState) => SessionState | null,
    { unseen = false } = {},
  ): Promise<void> {
    await this.#inOrder(async () => {
      let latest = (unseen && this.#known) || (await this.#latest());
      for (let attempts = 1; ; attempts++) {
        const state = next(latest.state);
        if (state === null) return;
        if ((await this.#store(name, state, latest)) !== null) break;
        if (attempts === MAX_ATTEMPTS) throw behind();
        latest = await this.#latest();
      }
      await this.#prune();
    });
  }

  /** Stores an empty state, without a look at the one before, which may be damaged. `null`: there was none. */
  async #end(): Promise<string | null> {
    for (let attempts = 1; ; attempts++) {
      const [latest] = await this.#storage.listCheckpoints({ ...this.#line, limit: 1 });
      if (latest === undefined) return null;
      const end = await this.#store("clearSession", empty(), { id: latest.id, change: -1 });
      if (end !== null) return end;
      if (attempts === MAX_ATTEMPTS) throw behind();
    }
  }

  async #latest(): Promise<Latest> {
    const checkpoint = await this.#storage.retrieveLatestCheckpoint(this.#sessionId, { namespace: this.#namespace });
    if (checkpoint === null) return { id: null, state: empty(), change: 0 };
    const { id, state, metadata } = checkpoint;
    if (isSessionState(state)) return { id, state, change: Number(metadata?.["change"] ?? 0) };
    throw new CheckpointError("UNSUPPORTED_FORMAT", `read session: checkpoint ${id} was not stored by a session`);
  }

  /** Stores a state after the checkpoint that it was made of, and returns its id. `null`: another one is the latest by now. */
  async #store(name: string, state: SessionState, after: Omit<Latest, "state">): Promise<string | null> {
    const change = after.change + 1;
    const checkpoint = {
      ...this.#line,
      ...(after.id === null ? {} : { parentId: after.id }),
      name,
      state,
      metadata: { change, items: state.items.length },
      createdAt: Date.now(),
    };
    try {
      const id = await this.#storage.storeCheckpoint(checkpoint, { ifLatest: after.id });
      this.#known = { id, state, change };
      return id;
    } catch (error) {
      if (error instanceof CheckpointError && error.code === "CONFLICT") return null;
      throw error;
    }
  }

  async #prune(): Promise<void> {
    if (this.#keepLast === undefined || Number(this.#known?.change) % this.#keepLast !== 0) return;
    try {
      await this.#storage.pruneCheckpoints({ ...this.#line, keepLast: this.#keepLast });
    } catch {
      // The change is made, and who gets an error would make it again. The next pruning removes what this one has left.
    }
  }
}

function isSessionState(state: unknown): state is SessionState {
  return Array.isArray(property(state, "items")) && Array.isArray(property(state, "operations"));
}

function applyTransaction(items: readonly AgentInputItem[], transaction: SessionHistoryTransaction): AgentInputItem[] {
  if (transaction.type === "append_items") return [...items, ...transaction.items];
  const { expectedSuffix, replacement } = transaction;
  const start = items.length - expectedSuffix.length;
  if (start < 0 || !isDeepStrictEqual(items.slice(start), expectedSuffix)) {
    throw refused("the session to end in transaction.expectedSuffix, but it does not");
  }
  return [...items.slice(0, start), ...replacement];
}

function behind(): CheckpointError {
  return new CheckpointError("CONTENTION", `change session: others were quicker, ${MAX_ATTEMPTS} times in a row`);
}

function refused(expected: string): CheckpointError {
  return new CheckpointError("CONFLICT", `apply history transaction: expected ${expected}`);
}

function copyTransaction(args: unknown): SessionHistoryTransactionArgs {
  const [operationId, transaction] = [property(args, "operationId"), property(args, "transaction")];
  if (typeof operationId !== "string" || operationId.trim() === "") {
    throw invalidArgument("args.operationId", "a string that is not empty", operationId);
  }
  const type = oneOf("transaction.type", property(transaction, "type"), ["append_items", "replace_suffix"]);
  if (type === "append_items") {
    const { items } = members("transaction", transaction, ["type", "items"]);
    return { operationId, transaction: { type, items: copyItems("transaction.items", items) } };
  }
  const { expectedSuffix, replacement } = members("transaction", transaction, [
    "type",
    "expectedSuffix",
    "replacement",
  ]);
  return {
    operationId,
    transaction: {
      type,
      expectedSuffix: copyItems("transaction.expectedSuffix", expectedSuffix),
      replacement: copyItems("transaction.replacement", replacement),
    },
  };
}

function copyItems(field: string, items: unknown): AgentInputItem[] {
  if (!Array.isArray(items)) throw invalidArgument(field, "an array of items", items);
  for (const [index, item] of items.entries()) {
    if (typeof item !== "object" || item === null) throw invalidArgument(`${field}[${index}]`, "an object", item);
  }
  return copy(field, items);
}

/** As the SDK's own session copies: class instances become plain objects, functions are refused. */
function copy<Value>(field: string, value: Value): Value {
  try {
    return structuredClone(value);
  } catch {
    // What structuredClone throws quotes what it could not copy.
    throw new CheckpointError("UNSUPPORTED_VALUE", `expected ${field} to be data, got something that cannot be copied`);
  }
}

/** The same text for what the SDK takes for the same transaction: the order of keys says nothing, `undefined` and `-0` do. */
function canonicalText(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `[${Array.from(value, canonicalText).join()}]`;
  if (value instanceof Uint8Array) return `bytes(${Buffer.from(value).toString("base64")})`;
  if (Object.getPrototypeOf(value) !== Object.prototype) {
    const expected = "plain objects, arrays, text, numbers and bytes";
    throw new CheckpointError("UNSUPPORTED_VALUE", `expected transaction to consist of ${expected}`);
  }
  const entries = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${canonicalText(member)}`);
  return `{${entries.sort().join()}}`;
}
