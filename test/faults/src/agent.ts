import { setTimeout } from "node:timers/promises";
import {
  CheckpointError,
  type CheckpointStorage,
  type CheckpointWrite,
  type NamedAgentCheckpoint,
} from "@waymark/core";
import { idAfter } from "./ids.ts";
import type { Intent, Journal, Outcome } from "./journal.ts";
import type { Ledger } from "./ledger.ts";
import { type Habit, namespaceOf } from "./order.ts";
import { pick } from "./random.ts";
import { digestOf, prose, type States } from "./states.ts";
import { digested } from "./writes.ts";

/** How often an agent does what, in the mean of its turns. */
const OWN_ID = 0.5;
const REPEAT = 0.08;
const READ_LATEST = 0.3;
const ALLOW_STALE = 0.3;
const RETRIEVE = 0.1;
const LIST = 0.08;
const DELETE = 0.1;
const PRUNE = 0.03;
/** Before a turn and after it, and once more after each time. */
const APPEND = 0.25;
const LIST_WRITES = 0.15;

/** So few places that some are written again, also by one append. */
const TASKS = ["plan", "tool 名前"];
const INDICES = [-2, -1, 0, 1];
const MOST_WRITES = 4;

type WritePlace = Pick<CheckpointWrite, "taskId" | "index">;

/**
 * Two appends that show all that may become of a write. The first of each has its place for itself. Of two that come together
 * from 0 on the first stays, and below 0 the one of the later append.
 */
const EACH_PLACE: readonly (readonly WritePlace[])[] = [2, 3].map((own) =>
  [own, 0, 0, -1].map((index) => ({ taskId: "plan", index })),
);

/** What a client waits before it tries again what was rejected. */
const BACK_OFF_MS = 25;
/** A delete, prune or append is tried so often. Whether it took place is then not known. */
const TRIES = 4;
const FIRST_TURN_AT = 1_700_000_000_000;

export interface AgentOptions {
  readonly storage: CheckpointStorage;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly states: States;
  readonly next: () => number;
  /** Whether reads may be answered by an old state, even if they do not say so. */
  readonly allowStale: boolean;
  readonly patienceMs: number;
}

/** An agent at work: it stores its state after each turn, and reads and tidies up in between. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #id: string;
  readonly #namespace: string;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#id = options.ledger.agent;
    this.#namespace = namespaceOf(this.#id);
  }

  /** What an agent does first that was at work somewhere else before. */
  async resume(): Promise<void> {
    if (this.#options.ledger.turns > 0) await this.#readLatest(false);
  }

  /** @throws if the store is rejected for as long as the agent is patient */
  async turn(habit: Habit): Promise<void> {
    if (habit === "as it comes") await this.#turnAsItComes();
    else if (habit === "each thing") await this.#turnOfEachThing();
    else await this.#storeTurn(this.#options.ledger.turns);
  }

  async #turnAsItComes(): Promise<void> {
    const { ledger, next } = this.#options;
    const turn = ledger.turns;
    const latest = ledger.live().at(-1);
    if (latest !== undefined) await this.#appendSome(latest);
    const checkpoint = await this.#storeTurn(turn);
    if (next() < REPEAT)
      await this.#try({ kind: "store", turn, id: checkpoint.id, digest: digestOf(checkpoint.state) }, () =>
        this.#store(checkpoint),
      );
    await this.#appendSome(checkpoint.id);
    if (next() < READ_LATEST) await this.#readLatest(next() < ALLOW_STALE);
    if (next() < RETRIEVE) await this.#retrieve(pick(ledger.live(), next));
    if (next() < LIST) await this.#list(next() < ALLOW_STALE);
    const appendedTo = ledger.appendedTo();
    if (next() < LIST_WRITES && appendedTo.length > 0) {
      await this.#listWrites(pick(appendedTo, next), next() < ALLOW_STALE);
    }
    // Never all of them: then there would be nothing to be lost.
    if (next() < DELETE && ledger.live().length > 3) await this.#delete(pick(ledger.live(), next));
    if (next() < PRUNE) await this.#prune(4 + Math.floor(next() * 8));
  }

  /** Does each thing. After two such turns the newest checkpoint has writes, and its parent, which was deleted, had some. */
  async #turnOfEachThing(): Promise<void> {
    const { ledger } = this.#options;
    const before = ledger.live().at(-1);
    const { id } = await this.#storeTurn(ledger.turns);
    for (const places of EACH_PLACE) await this.#append(id, places);
    await this.#readLatest(false);
    await this.#retrieve(id);
    await this.#list(false);
    await this.#listWrites(id, false);
    if (before !== undefined) await this.#delete(before);
  }

  async #storeTurn(turn: number): Promise<NamedAgentCheckpoint & { id: string }> {
    const { ledger, states, next, patienceMs } = this.#options;
    const state = states.at(turn);
    const digest = digestOf(state);
    const namespace = this.#namespace === "" ? {} : { namespace: this.#namespace };
    const parent = ledger.lastId === null ? {} : { parentId: ledger.lastId };
    const base = {
      agentId: this.#id,
      ...namespace,
      ...parent,
      name: `turn ${turn}`,
      createdAt: FIRST_TURN_AT + turn,
      metadata: { turn },
      state,
    };
    let id = ledger.idTriedFor(turn) ?? (this.#triedWithoutId(turn) || next() < OWN_ID ? idAfter(ledger.lastId) : null);
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const outcome = await this.#try({ kind: "store", turn, id, digest }, () =>
        this.#store(id === null ? base : { ...base, id }),
      );
      if ("id" in outcome) return { ...base, id: outcome.id };
      if ("failed" in outcome && (!outcome.retryable || performance.now() > deadline)) {
        throw new Error(`${this.#id} could not store turn ${turn}: ${outcome.failed}: ${outcome.message}`);
      }
      await setTimeout(BACK_OFF_MS);
      // The id that the storage made is not known; the next attempt could not say that it is the same turn.
      id ??= idAfter(ledger.lastId);
    }
  }

  #triedWithoutId(turn: number): boolean {
    return this.#options.ledger.orphans.has(turn);
  }

  async #store(checkpoint: NamedAgentCheckpoint): Promise<Outcome> {
    return { id: await this.#options.storage.storeCheckpoint(checkpoint) };
  }

  async #readLatest(allowStale: boolean): Promise<void> {
    const options = { namespace: this.#namespace, ...(allowStale && { allowStale }) };
    await this.#try({ kind: "latest", allowStale: allowStale || this.#options.allowStale }, async () => {
      const found = await this.#options.storage.retrieveLatestCheckpoint(this.#id, options);
      return { found: found && { id: found.id, digest: digestOf(found.state) }, source: found?.source ?? null };
    });
  }

  async #retrieve(id: string): Promise<void> {
    await this.#try({ kind: "retrieve", id }, async () => {
      const found = await this.#options.storage.retrieveCheckpoint(id);
      return { found: found && { id: found.id, digest: digestOf(found.state) }, source: found?.source ?? null };
    });
  }

  async #list(allowStale: boolean): Promise<void> {
    const query = { agentId: this.#id, namespace: this.#namespace, ...(allowStale && { allowStale }) };
    await this.#try({ kind: "list", allowStale: allowStale || this.#options.allowStale }, async () => {
      const items = await this.#options.storage.listCheckpoints(query);
      return { ids: items.map(({ id }) => id), source: items[0]?.source ?? null };
    });
  }

  async #delete(id: string): Promise<void> {
    await this.#insist({ kind: "delete", id }, async () => {
      await this.#options.storage.deleteCheckpoint(id);
      return { done: true };
    });
    await this.#listWrites(id, false); // they went with it
  }

  async #prune(keepLast: number): Promise<void> {
    await this.#insist({ kind: "prune", keepLast }, async () => {
      await this.#options.storage.pruneCheckpoints({ agentId: this.#id, namespace: this.#namespace, keepLast });
      return { done: true };
    });
  }

  async #appendSome(id: string): Promise<void> {
    const { next } = this.#options;
    while (next() < APPEND) {
      const count = 1 + Math.floor(next() * MOST_WRITES);
      const places = Array.from({ length: count }, () => ({ taskId: pick(TASKS, next), index: pick(INDICES, next) }));
      await this.#append(id, places);
    }
  }

  async #append(id: string, places: readonly WritePlace[]): Promise<void> {
    const { storage, ledger, next } = this.#options;
    const writes = places.map((place, at): CheckpointWrite => {
      // No two are the same: so it can be told which one has stayed.
      const value = { operation: ledger.operations, place: at, text: prose(next, Math.floor(next() * 500)) };
      return { ...place, channel: "messages", value };
    });
    await this.#insist({ kind: "append", id, writes: writes.map(digested) }, async () => {
      await storage.appendWrites(id, writes);
      return { done: true };
    });
  }

  async #listWrites(id: string, allowStale: boolean): Promise<void> {
    await this.#try({ kind: "list writes", id, allowStale: allowStale || this.#options.allowStale }, async () => {
      const writes = await this.#options.storage.listWrites(id, allowStale ? { allowStale } : {});
      return { writes: writes.map(digested) };
    });
  }

  async #insist(intent: Intent, call: () => Promise<Outcome>): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      if (!("failed" in (await this.#try(intent, call)))) return;
      await setTimeout(BACK_OFF_MS);
    }
  }

  async #try(intent: Intent, call: () => Promise<Outcome>): Promise<Outcome> {
    const { journal, ledger } = this.#options;
    journal.begin(intent);
    ledger.begin(intent);
    let outcome: Outcome;
    try {
      outcome = await call();
    } catch (error) {
      outcome =
        error instanceof CheckpointError
          ? { failed: error.code, retryable: error.retryable, message: error.message }
          : { failed: "not a CheckpointError", retryable: false, message: String(error) };
    }
    journal.end(outcome);
    ledger.end(outcome);
    return outcome;
  }
}
