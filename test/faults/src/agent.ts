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
import { toDigestedWrite } from "./writes.ts";

/** Probabilities of an agent's operations, in each of its turns. */
const OWN_ID = 0.5;
const REPEAT = 0.08;
const READ_LATEST = 0.3;
const ALLOW_STALE = 0.3;
const RETRIEVE = 0.1;
const LIST = 0.08;
const DELETE = 0.1;
const PRUNE = 0.03;
/** Probability of an append before and after the store of a turn, and of another append after each append. */
const APPEND = 0.25;
const LIST_WRITES = 0.15;

/** Tasks and indices: so few that some are written again, also within one append. */
const TASKS = ["plan", "tool 名前"];
const INDICES = [-2, -1, 0, 1];
const MOST_WRITES = 4;

type WritePlace = Pick<CheckpointWrite, "taskId" | "index">;

/**
 * Places of two appends that cover all cases. The first write of each append is the only one at its place. At index 0 the first
 * of several writes is kept, at index -1 the last.
 */
const EACH_PLACE: readonly (readonly WritePlace[])[] = [2, 3].map((own) =>
  [own, 0, 0, -1].map((index) => ({ taskId: "plan", index })),
);

/** Delay before an agent repeats an operation that was rejected. */
const BACK_OFF_MS = 25;
/** Number of attempts at a delete, prune or append. After the last one it is unknown whether it took place. */
const TRIES = 4;
const FIRST_TURN_AT = 1_700_000_000_000;

export interface AgentOptions {
  readonly storage: CheckpointStorage;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly states: States;
  readonly next: () => number;
  /** True if reads may return an old state even without `allowStale`. */
  readonly allowStale: boolean;
  readonly patienceMs: number;
}

/** An agent: it stores its state after each turn, and reads, appends, deletes and prunes in between. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #id: string;
  readonly #namespace: string;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#id = options.ledger.agent;
    this.#namespace = namespaceOf(this.#id);
  }

  /** Reads the latest checkpoint, as an agent does first when it goes on in another process. */
  async resume(): Promise<void> {
    if (this.#options.ledger.turns > 0) await this.#readLatest(false);
  }

  /** Makes one turn. @throws if its store is still rejected after `patienceMs` */
  async turn(habit: Habit): Promise<void> {
    if (habit === "random") await this.#randomTurn();
    else if (habit === "all operations") await this.#turnWithAllOperations();
    else await this.#storeTurn(this.#options.ledger.turns);
  }

  async #randomTurn(): Promise<void> {
    const { ledger, next } = this.#options;
    const turn = ledger.turns;
    const latest = ledger.liveIds().at(-1);
    if (latest !== undefined) await this.#appendSome(latest);
    const checkpoint = await this.#storeTurn(turn);
    if (next() < REPEAT)
      await this.#attempt({ kind: "store", turn, id: checkpoint.id, digest: digestOf(checkpoint.state) }, () =>
        this.#store(checkpoint),
      );
    await this.#appendSome(checkpoint.id);
    if (next() < READ_LATEST) await this.#readLatest(next() < ALLOW_STALE);
    if (next() < RETRIEVE) await this.#retrieve(pick(ledger.liveIds(), next));
    if (next() < LIST) await this.#list(next() < ALLOW_STALE);
    const appendedTo = ledger.idsWithWrites();
    if (next() < LIST_WRITES && appendedTo.length > 0) {
      await this.#listWrites(pick(appendedTo, next), next() < ALLOW_STALE);
    }
    // Some checkpoints must remain: otherwise none could be lost.
    if (next() < DELETE && ledger.liveIds().length > 3) await this.#delete(pick(ledger.liveIds(), next));
    if (next() < PRUNE) await this.#prune(4 + Math.floor(next() * 8));
  }

  /**
   * Does every operation once. After two such turns the newest checkpoint has writes, and so had its parent, which was deleted.
   */
  async #turnWithAllOperations(): Promise<void> {
    const { ledger } = this.#options;
    const before = ledger.liveIds().at(-1);
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
    let id = ledger.triedIdOf(turn) ?? (this.#triedWithoutId(turn) || next() < OWN_ID ? idAfter(ledger.lastId) : null);
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const outcome = await this.#attempt({ kind: "store", turn, id, digest }, () =>
        this.#store(id === null ? base : { ...base, id }),
      );
      if ("id" in outcome) return { ...base, id: outcome.id };
      if ("failed" in outcome && (!outcome.retryable || performance.now() > deadline)) {
        throw new Error(`${this.#id} could not store turn ${turn}: ${outcome.failed}: ${outcome.message}`);
      }
      await setTimeout(BACK_OFF_MS);
      // The id that the storage may have made is unknown. With an id of its own, the next attempt can be repeated safely.
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
    await this.#attempt({ kind: "latest", allowStale: allowStale || this.#options.allowStale }, async () => {
      const found = await this.#options.storage.retrieveLatestCheckpoint(this.#id, options);
      return { found: found && { id: found.id, digest: digestOf(found.state) }, source: found?.source ?? null };
    });
  }

  async #retrieve(id: string): Promise<void> {
    await this.#attempt({ kind: "retrieve", id }, async () => {
      const found = await this.#options.storage.retrieveCheckpoint(id);
      return { found: found && { id: found.id, digest: digestOf(found.state) }, source: found?.source ?? null };
    });
  }

  async #list(allowStale: boolean): Promise<void> {
    const query = { agentId: this.#id, namespace: this.#namespace, ...(allowStale && { allowStale }) };
    await this.#attempt({ kind: "list", allowStale: allowStale || this.#options.allowStale }, async () => {
      const items = await this.#options.storage.listCheckpoints(query);
      return { ids: items.map(({ id }) => id), source: items[0]?.source ?? null };
    });
  }

  async #delete(id: string): Promise<void> {
    await this.#repeat({ kind: "delete", id }, async () => {
      await this.#options.storage.deleteCheckpoint(id);
      return { done: true };
    });
    await this.#listWrites(id, false); // they must be deleted too
  }

  async #prune(keepLast: number): Promise<void> {
    await this.#repeat({ kind: "prune", keepLast }, async () => {
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
      // No two values are the same, so that it can be seen which one was kept.
      const value = { operation: ledger.operations, place: at, text: prose(next, Math.floor(next() * 500)) };
      return { ...place, channel: "messages", value };
    });
    await this.#repeat({ kind: "append", id, writes: writes.map(toDigestedWrite) }, async () => {
      await storage.appendWrites(id, writes);
      return { done: true };
    });
  }

  async #listWrites(id: string, allowStale: boolean): Promise<void> {
    await this.#attempt({ kind: "list writes", id, allowStale: allowStale || this.#options.allowStale }, async () => {
      const writes = await this.#options.storage.listWrites(id, allowStale ? { allowStale } : {});
      return { writes: writes.map(toDigestedWrite) };
    });
  }

  async #repeat(intent: Intent, call: () => Promise<Outcome>): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      if (!("failed" in (await this.#attempt(intent, call)))) return;
      await setTimeout(BACK_OFF_MS);
    }
  }

  async #attempt(intent: Intent, call: () => Promise<Outcome>): Promise<Outcome> {
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
