import { createHash, randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { isUint8Array } from "node:util/types";
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
import { CheckpointError, type CheckpointMetadata, type CheckpointStorage } from "@waymark/core";
import {
  checkAgentId,
  checkMetadata,
  checkNamespace,
  integer,
  invalidArgument,
  isPlain,
  objectWithKeys,
  oneOf,
  property,
} from "@waymark/core/kit";
import { checkStorage } from "./arguments.ts";

export interface WaymarkSessionOptions {
  /** Storage of the session. The caller closes it. */
  readonly storage: CheckpointStorage;
  /** Agent of the session's checkpoints: 1 to 255 bytes of UTF-8. Default: a new UUID. */
  readonly sessionId?: string | undefined;
  /** Namespace of that agent: up to 1,024 bytes of UTF-8. Nothing else may be stored there. Default `"session"`. */
  readonly namespace?: string | undefined;
  /**
   * Number of changes to keep, from 1. Older ones are removed after every `keepLast` changes, so at most twice as many are
   * stored. Default: all of them, until the session is cleared.
   */
  readonly keepLast?: number | undefined;
  /**
   * Labels of every change that this object stores, beside `change` and `items`, which are the session's own: a user or a
   * tenant, for example, whose sessions `storage.deleteAgents` erases if the label is indexed (see `indexedLabels` of the
   * storage). Default: none.
   */
  readonly metadata?: CheckpointMetadata | undefined;
}

/** State of a checkpoint: the whole session. Storages write only the changes, so this is cheap. */
interface SessionState {
  readonly items: AgentInputItem[];
  /** The most recent operations, oldest first. */
  readonly operations: readonly Operation[];
}

interface Operation {
  readonly id: string;
  /** SHA-256 of the transaction, in base64. */
  readonly digest: string;
}

interface Latest {
  /** `null`: the session is empty, and nothing is stored. */
  readonly id: string | null;
  readonly state: SessionState;
  /** Number of changes since the session was cleared. */
  readonly change: number;
}

/** Makes an empty state: a new object each time, since callers own what they read. */
const emptyState = (): SessionState => ({ items: [], operations: [] });
/** About 100 bytes each in the state. Only runs with output guardrails apply operations, and repeat them soon. */
const REMEMBERED_OPERATIONS = 100;
/** Labels that the session itself gives to each change. */
const OWN_LABELS = ["change", "items"] as const;
/** An attempt fails if another writer stores first. This many in a row are no coincidence, and the loop must end. */
const MAX_ATTEMPTS = 1_000;

/**
 * A session of the OpenAI Agents SDK in a checkpoint storage. Any number of processes may use a session concurrently: every
 * change is one checkpoint, stored only if no other was stored in between, and otherwise repeated on top of that one. So
 * changes are atomic, no added item is lost, and each caller's items keep their order.
 *
 * Calls of one object take effect in the order of the calls, awaited or not. Items are copied at the call.
 *
 * Every method may reject with errors of the storage, see `CheckpointErrorCode`; no error holds an item. After `TIMEOUT`,
 * `UNAVAILABLE` or `ABORTED` a change may or may not have been made.
 */
export class WaymarkSession implements SessionHistoryRewriteAwareSession, SessionHistoryTransactionAwareSession {
  readonly #storage: CheckpointStorage;
  readonly #sessionId: string;
  readonly #namespace: string;
  readonly #keepLast: number | undefined;
  readonly #metadata: CheckpointMetadata;
  /** Cache: the state that this object stored last. No caller has a reference into it. */
  #lastStored: Latest | undefined;
  /** Resolves when the previous call has ended. */
  #previousCall: Promise<unknown> = Promise.resolve();

  /** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
  constructor(options: WaymarkSessionOptions) {
    const {
      storage,
      sessionId = randomUUID(),
      namespace = "session",
      keepLast,
      metadata = {},
    } = objectWithKeys("options", options, ["storage", "sessionId", "namespace", "keepLast", "metadata"]);
    this.#storage = checkStorage("options.storage", storage);
    this.#sessionId = checkAgentId("options.sessionId", sessionId);
    this.#namespace = checkNamespace("options.namespace", namespace);
    this.#metadata = checkMetadata("options.metadata", metadata);
    for (const own of OWN_LABELS) {
      if (Object.hasOwn(this.#metadata, own)) {
        throw invalidArgument("options.metadata", `labels other than ${OWN_LABELS.join(" and ")}`, own);
      }
    }
    if (keepLast !== undefined) {
      this.#keepLast = integer("options.keepLast", keepLast, 1, Number.MAX_SAFE_INTEGER, "changes");
    }
  }

  async getSessionId(): Promise<string> {
    return this.#sessionId;
  }

  /** Returns the newest `limit` items, oldest first; none if it is 0 or less. Default: all. The caller may change them. */
  async getItems(limit?: number): Promise<AgentInputItem[]> {
    return await this.#inOrder(async () => {
      const { items } = (await this.#latest()).state;
      if (limit === undefined) return items;
      return limit <= 0 ? [] : items.slice(Math.max(items.length - limit, 0));
    });
  }

  /** Appends items, all or nothing. */
  async addItems(items: AgentInputItem[]): Promise<void> {
    const added = copyItems("items", items);
    if (added.length === 0) return;
    const append = (state: SessionState) => ({ ...state, items: [...state.items, ...added] });
    await this.#change("addItems", append, { mayUseCached: true });
  }

  /** Removes the newest item and returns it. Concurrent callers get different items. */
  async popItem(): Promise<AgentInputItem | undefined> {
    let popped: AgentInputItem | undefined;
    await this.#change("popItem", (state) => {
      popped = state.items.at(-1);
      return popped === undefined ? null : { ...state, items: state.items.slice(0, -1) };
    });
    return popped;
  }

  /**
   * Removes all items, all checkpoints of the session and its remembered operations. Items that others add meanwhile are
   * either removed too, or begin the new session. If the call fails, it can be repeated.
   */
  async clearSession(): Promise<void> {
    await this.#inOrder(async () => {
      // Removing takes several commits. An empty state is stored first: processes that add meanwhile continue from it. Without
      // it they could continue from a checkpoint in the middle, and restore half of the session.
      const emptied = await this.#storeEmpty();
      if (emptied === null) return;
      await this.#storage.pruneCheckpoints({ ...this.#timeline, keepLast: 1 });
      await this.#storage.deleteCheckpoint(emptied);
      this.#lastStored = undefined;
    });
  }

  /** Replaces all items atomically; the SDK calls it after it has compacted the history. */
  async replaceHistoryWithCompaction(items: AgentInputItem[]): Promise<void> {
    const replacement = copyItems("items", items);
    await this.#change("replaceHistoryWithCompaction", (state) => ({ ...state, items: replacement }));
  }

  /** Applies mutations, as the SDK defines them, all or nothing. */
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
   * Applies a transaction once, even if several processes repeat it, as long as its `operationId` is among the last 100 of
   * the session.
   * @throws CheckpointError `CONFLICT`, and changes nothing, if the operation was applied with another transaction, or if the
   *   session does not end with the suffix to replace
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

  get #timeline(): { readonly agentId: string; readonly namespace: string } {
    return { agentId: this.#sessionId, namespace: this.#namespace };
  }

  async #inOrder<Result>(call: () => Promise<Result>): Promise<Result> {
    const result = this.#previousCall.then(call);
    this.#previousCall = result.catch(() => {}); // the caller gets the error
    return await result;
  }

  /**
   * Stores the state that `next` returns for the latest one, and calls it again if another writer stored first. `null`:
   * nothing to change. `mayUseCached`: `next` is right for any state, so the cached one is tried before the latest is read.
   */
  async #change(
    name: string,
    next: (state: SessionState) => SessionState | null,
    { mayUseCached = false } = {},
  ): Promise<void> {
    await this.#inOrder(async () => {
      let latest = (mayUseCached && this.#lastStored) || (await this.#latest());
      for (let attempts = 1; ; attempts++) {
        const state = next(latest.state);
        if (state === null) return;
        if ((await this.#store(name, state, latest)) !== null) break;
        if (attempts === MAX_ATTEMPTS) throw contention();
        latest = await this.#latest();
      }
      await this.#prune();
    });
  }

  /** Stores an empty state without reading the one before, which may be unreadable. `null`: nothing was stored. */
  async #storeEmpty(): Promise<string | null> {
    for (let attempts = 1; ; attempts++) {
      const [latest] = await this.#storage.listCheckpoints({ ...this.#timeline, limit: 1 });
      if (latest === undefined) return null;
      const id = await this.#store("clearSession", emptyState(), { id: latest.id, change: -1 });
      if (id !== null) return id;
      if (attempts === MAX_ATTEMPTS) throw contention();
    }
  }

  async #latest(): Promise<Latest> {
    const checkpoint = await this.#storage.retrieveLatestCheckpoint(this.#sessionId, { namespace: this.#namespace });
    if (checkpoint === null) return { id: null, state: emptyState(), change: 0 };
    const { id, state, metadata } = checkpoint;
    if (isSessionState(state)) return { id, state, change: Number(metadata?.["change"] ?? 0) };
    throw new CheckpointError("UNSUPPORTED_FORMAT", `read session: checkpoint ${id} was not stored by a session`);
  }

  /** Stores a state after the checkpoint that it is based on, and returns its id. `null`: another writer stored first. */
  async #store(name: string, state: SessionState, after: Omit<Latest, "state">): Promise<string | null> {
    const change = after.change + 1;
    const checkpoint = {
      ...this.#timeline,
      ...(after.id === null ? {} : { parentId: after.id }),
      name,
      state,
      metadata: { ...this.#metadata, change, items: state.items.length },
      createdAt: Date.now(),
    };
    try {
      const id = await this.#storage.storeCheckpoint(checkpoint, { ifLatest: after.id });
      this.#lastStored = { id, state, change };
      return id;
    } catch (error) {
      if (error instanceof CheckpointError && error.code === "CONFLICT") return null;
      throw error;
    }
  }

  async #prune(): Promise<void> {
    if (this.#keepLast === undefined || Number(this.#lastStored?.change) % this.#keepLast !== 0) return;
    try {
      await this.#storage.pruneCheckpoints({ ...this.#timeline, keepLast: this.#keepLast });
    } catch {
      // The change is stored; after an error the caller would repeat it. The next pruning removes what this one left.
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
    throw refused("the session to end with transaction.expectedSuffix, but it does not");
  }
  return [...items.slice(0, start), ...replacement];
}

function contention(): CheckpointError {
  return new CheckpointError(
    "CONTENTION",
    `change session: other writers stored first, ${MAX_ATTEMPTS} times in a row`,
  );
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
    const { items } = objectWithKeys("transaction", transaction, ["type", "items"]);
    return { operationId, transaction: { type, items: copyItems("transaction.items", items) } };
  }
  const { expectedSuffix, replacement } = objectWithKeys("transaction", transaction, [
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

/** Copies as the SDK's own session does: class instances become plain objects, functions are refused. */
function copy<Value>(field: string, value: Value): Value {
  try {
    return structuredClone(value);
  } catch {
    // The error of structuredClone quotes the value.
    throw new CheckpointError("UNSUPPORTED_VALUE", `expected ${field} to be data, got something that cannot be copied`);
  }
}

/**
 * Returns the same text for transactions that the SDK treats as the same: the order of keys does not count, `undefined` and
 * `-0` do.
 */
function canonicalText(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `[${Array.from(value, canonicalText).join()}]`;
  if (isUint8Array(value)) return `bytes(${Buffer.from(value).toString("base64")})`;
  if (!isPlain(value)) {
    const expected = "plain objects, arrays, text, numbers and bytes";
    throw new CheckpointError("UNSUPPORTED_VALUE", `expected transaction to consist of ${expected}`);
  }
  const entries = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${canonicalText(member)}`);
  return `{${entries.sort().join()}}`;
}
