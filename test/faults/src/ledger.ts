import type { Entry, Found, Intent, Outcome } from "./journal.ts";
import { type DigestedWrite, Place, placeOf } from "./writes.ts";

export type Count = "lost" | "duplicated" | "wrong";

/** A violation of a promise. */
export interface Finding {
  readonly count: Count;
  readonly text: string;
}

/** `must`: its store is acknowledged. `gone`: its deletion is. `may`: unknown, since a store or deletion of it failed. */
type Presence = "must" | "may" | "gone";

export interface LedgerCheckpoint {
  readonly turn: number;
  readonly digest: string;
  presence: Presence;
  /** Writes that were appended to it, by task and index. They exist as long as it does. */
  readonly writes: Map<string, Place>;
}

/**
 * Ledger of one agent: follows its operations and their answers, and derives what its reads must return. Nobody else writes to
 * the agent's timeline, and it does one operation after another: so it must read what it wrote last.
 */
export class Ledger {
  readonly agent: string;
  readonly checkpoints = new Map<string, LedgerCheckpoint>();
  /** Number of failed stores without an id, by turn. Each may have left a checkpoint. */
  readonly orphans = new Map<number, number>();
  readonly digests = new Map<number, string>();
  readonly findings: Finding[] = [];
  operations = 0;
  acknowledged = 0;
  /** Number of acknowledged turns. They are consecutive, from 0 on. */
  turns = 0;
  /** Newest id that was acknowledged, even if it was deleted since. */
  lastId: string | null = null;
  #intent: Intent | null = null;

  constructor(agent: string) {
    this.agent = agent;
  }

  static of(agent: string, entries: readonly Entry[]): Ledger {
    const ledger = new Ledger(agent);
    for (const entry of entries) {
      ledger.begin(entry.intent);
      if (entry.outcome === null) ledger.#recordUnknown();
      else ledger.end(entry.outcome);
    }
    return ledger;
  }

  /** Returns the ids that must be stored, oldest first. */
  liveIds(): string[] {
    return [...this.checkpoints]
      .filter(([, { presence }]) => presence === "must")
      .map(([id]) => id)
      .sort();
  }

  /** Returns the ids that have had writes, including deleted ones. */
  idsWithWrites(): string[] {
    return [...this.checkpoints]
      .filter(([, { writes }]) => writes.size > 0)
      .map(([id]) => id)
      .sort();
  }

  /** Returns the id under which a turn was tried, if it had one. */
  triedIdOf(turn: number): string | null {
    for (const [id, checkpoint] of this.checkpoints) if (checkpoint.turn === turn) return id;
    return null;
  }

  begin(intent: Intent): void {
    this.operations += 1;
    this.#intent = intent;
    if (intent.kind === "store") {
      this.digests.set(intent.turn, intent.digest);
      if (intent.id !== null && !this.checkpoints.has(intent.id)) {
        const { turn, digest } = intent;
        this.checkpoints.set(intent.id, { turn, digest, presence: "may", writes: new Map() });
      }
    }
  }

  end(outcome: Outcome): void {
    const intent = this.#intent as Intent;
    if ("failed" in outcome) {
      if (!outcome.retryable)
        this.addFinding("wrong", `${describeIntent(intent)} failed with ${outcome.failed}: ${outcome.message}`);
      this.#recordUnknown();
      return;
    }
    this.acknowledged += 1;
    if (intent.kind === "store" && "id" in outcome) this.#recordStore(intent, outcome.id);
    if (intent.kind === "delete") (this.checkpoints.get(intent.id) as LedgerCheckpoint).presence = "gone";
    if (intent.kind === "prune") this.#recordPrune(intent.keepLast, true);
    if (intent.kind === "latest" && "found" in outcome) this.#checkLatest(intent, outcome.found, outcome.source);
    if (intent.kind === "retrieve" && "found" in outcome)
      this.#checkRetrieved(intent.id, outcome.found, outcome.source);
    if (intent.kind === "list" && "ids" in outcome) this.#checkList(intent, outcome.ids, outcome.source);
    if (intent.kind === "append") this.#recordAppend(intent, true);
    if (intent.kind === "list writes" && "writes" in outcome) this.#checkListedWrites(intent, outcome.writes);
  }

  addFinding(count: Count, text: string): void {
    this.findings.push({ count, text: `${this.agent}: ${text}` });
  }

  /** Records an operation that failed, or whose process ended: it may have been done, or be done later. */
  #recordUnknown(): void {
    const intent = this.#intent as Intent;
    if (intent.kind === "store" && intent.id === null) {
      this.orphans.set(intent.turn, (this.orphans.get(intent.turn) ?? 0) + 1);
    }
    if (intent.kind === "delete") {
      const checkpoint = this.checkpoints.get(intent.id) as LedgerCheckpoint;
      if (checkpoint.presence === "must") checkpoint.presence = "may";
    }
    if (intent.kind === "prune") this.#recordPrune(intent.keepLast, false);
    if (intent.kind === "append") this.#recordAppend(intent, false);
  }

  #recordStore(intent: Intent & { kind: "store" }, id: string): void {
    const { turn, digest } = intent;
    if (intent.id !== null && id !== intent.id)
      this.addFinding("wrong", `the store of ${intent.id} was acknowledged as ${id}`);
    const known = this.checkpoints.get(id);
    if (known !== undefined && known.turn !== turn)
      this.addFinding("wrong", `${id} was acknowledged for turns ${known.turn} and ${turn}`);
    this.checkpoints.set(id, { turn, digest, presence: "must", writes: known?.writes ?? new Map() });
    if (turn <= this.turns - 1) return; // a repeated store
    this.turns = turn + 1;
    if (this.lastId !== null && id <= this.lastId) {
      this.addFinding("wrong", `turn ${turn} was stored as ${id}, which is not above the turn before, ${this.lastId}`);
    }
    this.lastId = id;
  }

  #recordAppend({ id, writes }: Intent & { kind: "append" }, acknowledged: boolean): void {
    const places = (this.checkpoints.get(id) as LedgerCheckpoint).writes;
    for (const write of writes) {
      const place = places.get(placeOf(write)) ?? new Place();
      places.set(placeOf(write), place);
      place.append(write, acknowledged);
    }
  }

  /**
   * Records a prune. A checkpoint is gone if at least `keepLast` newer ones must exist. It may be gone if at least `keepLast`
   * newer ones may exist.
   */
  #recordPrune(keepLast: number, acknowledged: boolean): void {
    let certain = 0;
    let possible = [...this.orphans.values()].reduce((sum, count) => sum + count, 0);
    for (const id of [...this.checkpoints.keys()].sort().reverse()) {
      const checkpoint = this.checkpoints.get(id) as LedgerCheckpoint;
      const was = checkpoint.presence;
      if (was === "gone") continue;
      if (possible >= keepLast) checkpoint.presence = acknowledged && certain >= keepLast ? "gone" : "may";
      if (was === "must") certain += 1;
      possible += 1;
    }
  }

  #checkLatest({ allowStale }: Intent & { kind: "latest" }, found: Found | null, source: string | null): void {
    const newest = this.liveIds().at(-1) ?? null;
    const isOld = newest !== null && (found === null || found.id < newest);
    // The backup may lack a deletion too. `null` does not say which database it comes from.
    const isFlagged = allowStale && (found === null || source === "backup");
    if (isOld && !isFlagged) {
      const had = found === null ? "none" : `${found.id} (turn ${this.checkpoints.get(found.id)?.turn})`;
      const turn = this.checkpoints.get(newest)?.turn;
      this.addFinding(
        "wrong",
        `the latest is ${newest} (turn ${turn}), but ${had} was read from ${source}, not flagged as stale`,
      );
    }
    if (found !== null) this.#checkContent("the latest", found, isFlagged, source);
  }

  #checkRetrieved(id: string, found: Found | null, source: string | null): void {
    if (found !== null && found.id !== id) this.addFinding("wrong", `a retrieve of ${id} returned ${found.id}`);
    else if (found !== null) this.#checkContent("a retrieve", found, false, source);
    else if (this.checkpoints.get(id)?.presence === "must") {
      this.addFinding(
        "wrong",
        `${id} (turn ${this.checkpoints.get(id)?.turn}) is acknowledged, but a retrieve found nothing`,
      );
    }
  }

  #checkList({ allowStale }: Intent & { kind: "list" }, ids: readonly string[], source: string | null): void {
    const isFlagged = allowStale && (source === "backup" || ids.length === 0);
    const seen = new Set(ids);
    if (seen.size < ids.length) this.addFinding("duplicated", `a list has ${ids.length - seen.size} ids twice`);
    if (ids.some((id, place) => place > 0 && id > (ids[place - 1] as string))) {
      this.addFinding("wrong", "a list is not in the order of its ids");
    }
    if (isFlagged) return;
    for (const [id, { presence, turn }] of this.checkpoints) {
      if (presence === "must" && !seen.has(id))
        this.addFinding("wrong", `${id} (turn ${turn}) is missing in a list from ${source}`);
      if (presence === "gone" && seen.has(id)) {
        this.addFinding("wrong", `${id} (turn ${turn}) was deleted, but is in a list from ${source}`);
      }
    }
  }

  /** Checks a list of writes. Writes have no `source`: with `allowStale`, each of them may be an old one. */
  #checkListedWrites({ id, allowStale }: Intent & { kind: "list writes" }, writes: readonly DigestedWrite[]): void {
    const { presence, writes: places } = this.checkpoints.get(id) as LedgerCheckpoint;
    const found = new Map(writes.map((write) => [placeOf(write), write.digest]));
    if (found.size < writes.length) this.addFinding("duplicated", `a list of the writes of ${id} has some twice`);
    if (writes.some((write, at) => at > 0 && !areInOrder(writes[at - 1] as DigestedWrite, write))) {
      this.addFinding("wrong", `a list of the writes of ${id} is not in order`);
    }
    if (presence === "may" && found.size === 0) return;
    for (const name of new Set([...places.keys(), ...found.keys()])) {
      const place = places.get(name) ?? new Place();
      const digest = found.get(name) ?? null;
      let problem = allowStale ? place.problemWithStale(digest) : place.problemWith(digest);
      if (presence === "gone" && !allowStale) problem = digest === null ? null : "was deleted with its checkpoint";
      if (problem !== null) this.addFinding("wrong", `a list of the writes of ${id}: ${name} ${problem}`);
    }
  }

  #checkContent(where: string, found: Found, isFlagged: boolean, source: string | null): void {
    const checkpoint = this.checkpoints.get(found.id);
    if (checkpoint === undefined) {
      // It may come from a failed store without an id. Only its content shows which turn it is.
      const turn = [...this.orphans.keys()].find((tried) => this.digests.get(tried) === found.digest);
      if (turn === undefined)
        this.addFinding("wrong", `${where} was ${found.id} from ${source}, which the agent did not store`);
      return;
    }
    if (checkpoint.digest !== found.digest)
      this.addFinding("wrong", `${where}, ${found.id}, has other content in ${source}`);
    if (checkpoint.presence === "gone" && !isFlagged) {
      this.addFinding("wrong", `${where}, ${found.id} (turn ${checkpoint.turn}) in ${source}, was deleted`);
    }
  }
}

function areInOrder(one: DigestedWrite, next: DigestedWrite): boolean {
  const byTask = Buffer.compare(Buffer.from(one.task), Buffer.from(next.task));
  return byTask < 0 || (byTask === 0 && one.index < next.index);
}

function describeIntent(intent: Intent): string {
  if (intent.kind === "store") return `the store of turn ${intent.turn} as ${intent.id ?? "a new id"}`;
  if (intent.kind === "delete" || intent.kind === "retrieve") return `the ${intent.kind} of ${intent.id}`;
  if (intent.kind === "append") return `the append to ${intent.id}`;
  if (intent.kind === "list writes") return `the list of the writes of ${intent.id}`;
  return `the ${intent.kind}`;
}
