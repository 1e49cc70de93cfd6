import type { Entry, Found, Intent, Outcome } from "./journal.ts";
import { type DigestedWrite, Place, placeOf } from "./writes.ts";

export type Count = "lost" | "duplicated" | "wrong";

/** Something that must not be. */
export interface Finding {
  readonly count: Count;
  readonly text: string;
}

/** `must`: acknowledged, and so there. `gone`: acknowledged to be deleted. `may`: it was tried to store or delete it, and nobody knows. */
type Presence = "must" | "may" | "gone";

export interface Kept {
  readonly turn: number;
  readonly digest: string;
  presence: Presence;
  /** What was appended to it, and is there as long as it is. */
  readonly writes: Map<string, Place>;
}

/**
 * What one agent was told of its checkpoints, operation after operation, and so what it may expect. An agent is alone on its
 * line, and does one thing after the other: what it reads is what it wrote last.
 */
export class Ledger {
  readonly agent: string;
  readonly checkpoints = new Map<string, Kept>();
  /** Of each turn: how many stores without an id were tried whose end nobody knows. Each may have left a checkpoint. */
  readonly orphans = new Map<number, number>();
  readonly digests = new Map<number, string>();
  readonly findings: Finding[] = [];
  operations = 0;
  acknowledged = 0;
  /** Turns that are acknowledged; they follow each other. */
  turns = 0;
  /** The newest id that was acknowledged, whether or not it was deleted since. */
  lastId: string | null = null;
  #intent: Intent | null = null;

  constructor(agent: string) {
    this.agent = agent;
  }

  static of(agent: string, entries: readonly Entry[]): Ledger {
    const ledger = new Ledger(agent);
    for (const entry of entries) {
      ledger.begin(entry.intent);
      if (entry.outcome === null) ledger.#unknown();
      else ledger.end(entry.outcome);
    }
    return ledger;
  }

  /** The ids that are there for certain, oldest first. */
  live(): string[] {
    return [...this.checkpoints]
      .filter(([, { presence }]) => presence === "must")
      .map(([id]) => id)
      .sort();
  }

  /** The ids to which something was appended, whether or not they are there. */
  appendedTo(): string[] {
    return [...this.checkpoints]
      .filter(([, { writes }]) => writes.size > 0)
      .map(([id]) => id)
      .sort();
  }

  /** The id that was tried for a turn that is not acknowledged. */
  idTriedFor(turn: number): string | null {
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
      if (!outcome.retryable) this.find("wrong", `${words(intent)} ended with ${outcome.failed}: ${outcome.message}`);
      this.#unknown();
      return;
    }
    this.acknowledged += 1;
    if (intent.kind === "store" && "id" in outcome) this.#stored(intent, outcome.id);
    if (intent.kind === "delete") (this.checkpoints.get(intent.id) as Kept).presence = "gone";
    if (intent.kind === "prune") this.#pruned(intent.keepLast, true);
    if (intent.kind === "latest" && "found" in outcome) this.#readLatest(intent, outcome.found, outcome.source);
    if (intent.kind === "retrieve" && "found" in outcome) this.#retrieved(intent.id, outcome.found, outcome.source);
    if (intent.kind === "list" && "ids" in outcome) this.#listed(intent, outcome.ids, outcome.source);
    if (intent.kind === "append") this.#appended(intent, true);
    if (intent.kind === "list writes" && "writes" in outcome) this.#listedWrites(intent, outcome.writes);
  }

  find(count: Count, text: string): void {
    this.findings.push({ count, text: `${this.agent}: ${text}` });
  }

  /** It failed, or its process did: it may have been done, or be done yet. */
  #unknown(): void {
    const intent = this.#intent as Intent;
    if (intent.kind === "store" && intent.id === null) {
      this.orphans.set(intent.turn, (this.orphans.get(intent.turn) ?? 0) + 1);
    }
    if (intent.kind === "delete") {
      const checkpoint = this.checkpoints.get(intent.id) as Kept;
      if (checkpoint.presence === "must") checkpoint.presence = "may";
    }
    if (intent.kind === "prune") this.#pruned(intent.keepLast, false);
    if (intent.kind === "append") this.#appended(intent, false);
  }

  #stored(intent: Intent & { kind: "store" }, id: string): void {
    const { turn, digest } = intent;
    if (intent.id !== null && id !== intent.id) this.find("wrong", `${intent.id} was stored, and ${id} acknowledged`);
    const known = this.checkpoints.get(id);
    if (known !== undefined && known.turn !== turn)
      this.find("wrong", `${id} was acknowledged for turns ${known.turn} and ${turn}`);
    this.checkpoints.set(id, { turn, digest, presence: "must", writes: known?.writes ?? new Map() });
    if (turn <= this.turns - 1) return; // it was repeated
    this.turns = turn + 1;
    if (this.lastId !== null && id <= this.lastId) {
      this.find("wrong", `turn ${turn} was stored as ${id}, which is not above the turn before, ${this.lastId}`);
    }
    this.lastId = id;
  }

  #appended({ id, writes }: Intent & { kind: "append" }, acknowledged: boolean): void {
    const places = (this.checkpoints.get(id) as Kept).writes;
    for (const write of writes) {
      const place = places.get(placeOf(write)) ?? new Place();
      places.set(placeOf(write), place);
      place.append(write, acknowledged);
    }
  }

  /** What is below so many that are there for certain is gone; what is below so many that may be there may be gone. */
  #pruned(keepLast: number, acknowledged: boolean): void {
    let certain = 0;
    let possible = [...this.orphans.values()].reduce((sum, count) => sum + count, 0);
    for (const id of [...this.checkpoints.keys()].sort().reverse()) {
      const checkpoint = this.checkpoints.get(id) as Kept;
      const was = checkpoint.presence;
      if (was === "gone") continue;
      if (possible >= keepLast) checkpoint.presence = acknowledged && certain >= keepLast ? "gone" : "may";
      if (was === "must") certain += 1;
      possible += 1;
    }
  }

  #readLatest({ allowStale }: Intent & { kind: "latest" }, found: Found | null, source: string | null): void {
    const newest = this.live().at(-1) ?? null;
    const isOld = newest !== null && (found === null || found.id < newest);
    // The backup may not have heard of a deletion either. Of `null` nobody can tell where it comes from.
    const isFlagged = allowStale && (found === null || source === "backup");
    if (isOld && !isFlagged) {
      const had = found === null ? "none" : `${found.id} (turn ${this.checkpoints.get(found.id)?.turn})`;
      const turn = this.checkpoints.get(newest)?.turn;
      this.find(
        "wrong",
        `the latest was ${newest} (turn ${turn}), and ${had} was read from ${source}, not flagged as stale`,
      );
    }
    if (found !== null) this.#compare("the latest", found, isFlagged, source);
  }

  #retrieved(id: string, found: Found | null, source: string | null): void {
    if (found !== null && found.id !== id) this.find("wrong", `${id} was asked for, and ${found.id} came`);
    else if (found !== null) this.#compare("a retrieve", found, false, source);
    else if (this.checkpoints.get(id)?.presence === "must") {
      this.find(
        "wrong",
        `${id} (turn ${this.checkpoints.get(id)?.turn}) is acknowledged, and a retrieve says that there is none`,
      );
    }
  }

  #listed({ allowStale }: Intent & { kind: "list" }, ids: readonly string[], source: string | null): void {
    const isFlagged = allowStale && (source === "backup" || ids.length === 0);
    const seen = new Set(ids);
    if (seen.size < ids.length) this.find("duplicated", `a list has ${ids.length - seen.size} ids twice`);
    if (ids.some((id, place) => place > 0 && id > (ids[place - 1] as string))) {
      this.find("wrong", "a list is not in the order of its ids");
    }
    if (isFlagged) return;
    for (const [id, { presence, turn }] of this.checkpoints) {
      if (presence === "must" && !seen.has(id))
        this.find("wrong", `${id} (turn ${turn}) is missing in a list from ${source}`);
      if (presence === "gone" && seen.has(id)) {
        this.find("wrong", `${id} (turn ${turn}) was deleted, and is in a list from ${source}`);
      }
    }
  }

  /** Writes do not say where they come from: so with `allowStale` each of them may be an old one. */
  #listedWrites({ id, allowStale }: Intent & { kind: "list writes" }, writes: readonly DigestedWrite[]): void {
    const { presence, writes: places } = this.checkpoints.get(id) as Kept;
    const found = new Map(writes.map((write) => [placeOf(write), write.digest]));
    if (found.size < writes.length) this.find("duplicated", `a list of the writes of ${id} has some twice`);
    if (writes.some((write, at) => at > 0 && !areInOrder(writes[at - 1] as DigestedWrite, write))) {
      this.find("wrong", `a list of the writes of ${id} is not in order`);
    }
    if (presence === "may" && found.size === 0) return;
    for (const name of new Set([...places.keys(), ...found.keys()])) {
      const place = places.get(name) ?? new Place();
      const digest = found.get(name) ?? null;
      let complaint = allowStale ? place.staleComplaint(digest) : place.complaint(digest);
      if (presence === "gone" && !allowStale) complaint = digest === null ? null : "went with its checkpoint";
      if (complaint !== null) this.find("wrong", `a list of the writes of ${id}: ${name} ${complaint}`);
    }
  }

  #compare(where: string, found: Found, isFlagged: boolean, source: string | null): void {
    const checkpoint = this.checkpoints.get(found.id);
    if (checkpoint === undefined) {
      // Of a store without an id that failed: only its content says which turn it was.
      const turn = [...this.orphans.keys()].find((tried) => this.digests.get(tried) === found.digest);
      if (turn === undefined) this.find("wrong", `${where} was ${found.id} from ${source}, which nobody has stored`);
      return;
    }
    if (checkpoint.digest !== found.digest)
      this.find("wrong", `${where}, ${found.id}, has another content in ${source}`);
    if (checkpoint.presence === "gone" && !isFlagged) {
      this.find("wrong", `${where}, ${found.id} (turn ${checkpoint.turn}) in ${source}, was deleted`);
    }
  }
}

function areInOrder(one: DigestedWrite, next: DigestedWrite): boolean {
  const byTask = Buffer.compare(Buffer.from(one.task), Buffer.from(next.task));
  return byTask < 0 || (byTask === 0 && one.index < next.index);
}

function words(intent: Intent): string {
  if (intent.kind === "store") return `the store of turn ${intent.turn} as ${intent.id ?? "a new id"}`;
  if (intent.kind === "delete" || intent.kind === "retrieve") return `the ${intent.kind} of ${intent.id}`;
  if (intent.kind === "append") return `the append to ${intent.id}`;
  if (intent.kind === "list writes") return `the list of the writes of ${intent.id}`;
  return `the ${intent.kind}`;
}
