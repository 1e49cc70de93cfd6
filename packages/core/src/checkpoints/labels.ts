import { setImmediate } from "node:timers/promises";
import type { IndexLabelsResult } from "../contract/checkpoints.ts";
import { CheckpointError, codeOf } from "../contract/errors.ts";
import type { StorageEvents } from "../contract/status.ts";
import type { CheckedProgressOptions } from "../database/arguments.ts";
import { unref } from "../database/deadline.ts";
import type { Emitter } from "../database/events.ts";
import { firstIdAt, idTime } from "../database/ids.ts";
import type { Session } from "../database/session.ts";
import type { LookUp, TermLine } from "./arguments.ts";
import type { Dialect, LabelIndex, RowHead, RowLabel } from "./dialect.ts";
import { PAGE } from "./paging.ts";
import { MAX_PLANS } from "./rebase.ts";
import { labelTerm, lineKey, linesOfTerms, namesOfTerms } from "./terms.ts";

/**
 * The index of labels: which labels are indexed, and that all checkpoints which have them are in it. The name of a checkpoint is
 * one more label here; what is indexed are terms, see `terms.ts`.
 *
 * The database knows which labels are indexed, by a setting, so every process that stores writes its rows' labels with them,
 * whatever it was opened with. Older rows are indexed in steps, from the newest checkpoint down.
 *
 * Some rows are stored without their labels still: by a process that has not read yet that a label is indexed, or by one of an
 * earlier version. A process that has stored reads the setting again soon after, and indexes the rows whose labels it has not
 * known of. Each start with the option looks at all checkpoints since the last such look. An erasing looks at all there are,
 * whatever their ids, until that was done once after every process had learnt of the labels.
 */

const NAME = "indexed_labels";
/** Time after a store until the process reads again which labels are indexed. */
const REFRESH_MS = 15_000;
/** Age of what was read, from which on a store waits until it is read again. */
const MAX_AGE_MS = 5 * 60_000;
/** Ids are not quite in the order of commits: clocks differ, and a commit takes its time. Much longer than `MAX_AGE_MS`. */
const OVERLAP_MS = 10 * 60_000;

/** An indexed term, as the setting has it. */
interface Progress {
  /** Checkpoints from this id on are indexed; `null`: none is yet. */
  readonly from: string | null;
  /** Set once all older ones are indexed. */
  readonly isComplete: boolean;
}

/** The setting. */
interface Indexed {
  readonly terms: Readonly<Record<string, Progress>>;
  /** Time of the last change of which labels there are, in milliseconds since 1970. */
  readonly declaredAt: number;
  /** Rows up to this id were looked at since, apart from those of `OVERLAP_MS` before it, and from later ones with older ids. */
  readonly checked: string | null;
  /** Set once all rows were looked at, after every process had learnt of the labels. */
  readonly isSettled: boolean;
}

const NOTHING: Indexed = { terms: {}, declaredAt: 0, checked: null, isSettled: true };

type LabelledRow = Pick<RowHead, "id" | "name" | "metadata">;

export interface LabelsParts {
  readonly dialect: Dialect;
  readonly session: Session;
  readonly events: Emitter<StorageEvents>;
}

/** The labels of one database. */
export class Labels {
  readonly #dialect: Dialect;
  readonly #session: Session;
  readonly #events: Emitter<StorageEvents>;
  /** Terms that this storage was asked to index. */
  readonly #wanted: Set<string>;
  #indexed: Indexed = NOTHING;
  /** Text of the setting as it was read; `null`: it is not there. */
  #text: string | null = null;
  #readAt: number | null = null;
  #isStarted = false;
  /** Whether the labels that this storage was asked for are still to be indexed. */
  #isAsked = false;
  /** Time of the lowest id that this process has stored since it last read the setting; `null`: it has stored nothing. */
  #storedFrom: number | null = null;
  /** The same for rows that were stored without labels that it has learnt of; `null`: none are to be indexed. */
  #missedFrom: number | null = null;
  #refreshing: ReturnType<typeof setTimeout> | null = null;
  #background: Promise<void> | null = null;
  /** Labels of the other one of main and backup, which indexes what this one does. */
  #other: Labels | null = null;
  readonly #stopping = new AbortController();

  constructor({ dialect, session, events }: LabelsParts, wanted: readonly string[]) {
    this.#dialect = dialect;
    this.#session = session;
    this.#events = events;
    this.#wanted = new Set(wanted);
  }

  /** Makes a pair's databases index the same, whichever of them was asked to, or remembers to. */
  join(other: Labels): void {
    this.#other = other;
    other.#other = this;
    this.#want([...other.#wanted]);
    other.#want([...this.#wanted]);
  }

  #want(terms: readonly string[]): void {
    const added = terms.filter((term) => !this.#wanted.has(term));
    for (const term of added) this.#wanted.add(term);
    if (added.length > 0 && this.#isStarted) this.start();
  }

  /** Starts to index in the background, if this storage was asked for labels. */
  start(): void {
    this.#isStarted = true;
    this.#isAsked = this.#wanted.size > 0;
    this.#indexInBackground();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#refreshing !== null) clearTimeout(this.#refreshing);
    await this.#background;
  }

  /** Inserts rows by `commit`, which gets the labels to index with them. */
  async insert(
    rows: readonly LabelledRow[],
    signal: AbortSignal,
    commit: (labels: readonly RowLabel[]) => Promise<boolean>,
  ): Promise<boolean> {
    if (rows.length === 0 || this.#dialect.labels === undefined) return await commit([]);
    if (this.#readAt === null || Math.abs(Date.now() - this.#readAt) > MAX_AGE_MS) await this.#read(signal);
    const { terms } = this.#indexed;
    const isInserted = await commit(rowLabels(rows, new Set(Object.keys(terms))));
    if (isInserted) this.#noteStored(Math.min(...rows.map(({ id }) => idTime(id))), terms);
    return isInserted;
  }

  /** Remembers rows that were stored with the labels of these terms, and reads the setting again soon. */
  #noteStored(from: number, terms: Indexed["terms"]): void {
    this.#storedFrom = earlier(this.#storedFrom, from);
    if (this.#hasLearnt(terms)) this.#miss(from);
    if (this.#refreshing !== null || this.#stopping.signal.aborted) return;
    this.#refreshing = setTimeout(() => {
      this.#refreshing = null;
      this.#run(this.#stopping.signal, (deadline) => this.#read(deadline)).catch(() => {}); // a later store tries again
    }, REFRESH_MS);
    unref(this.#refreshing);
  }

  #hasLearnt(known: Indexed["terms"]): boolean {
    return Object.keys(this.#indexed.terms).some((term) => !Object.hasOwn(known, term));
  }

  #miss(from: number): void {
    this.#missedFrom = earlier(this.#missedFrom, from);
    this.#indexInBackground();
  }

  /**
   * Returns the key of the first of these lines whose term is indexed: whole, if one is.
   * @throws CheckpointError `INVALID_ARGUMENT` if none is; `STALE` if it is not complete yet, unless that is allowed
   */
  async find(
    operation: string,
    { lines, isStaleAllowed }: LookUp,
    signal: AbortSignal,
  ): Promise<{ index: LabelIndex; key: string }> {
    const dialect = this.#dialect;
    if (dialect.labels === undefined) {
      throw new CheckpointError("INVALID_ARGUMENT", `${operation}: the dialect ${dialect.name} has no index of labels`);
    }
    const isComplete = ({ term }: TermLine) => this.#progress(term)?.isComplete === true;
    if (!lines.some(isComplete)) await this.#read(signal);
    const found =
      lines.find(isComplete) ??
      lines.find(({ term }) => this.#progress(term) !== undefined) ??
      lines.find(({ term }) => this.#wanted.has(term)); // about to be declared, in the background
    if (found === undefined) throw this.#notIndexed(lines);
    if (!isComplete(found) && !isStaleAllowed) {
      const advice = "wait for the event labelsIndexed or call indexLabels(), or take what there is with allowStale";
      const message = `${operation}: ${found.term} is still being indexed, and the answer may lack checkpoints: ${advice}`;
      throw new CheckpointError("STALE", message);
    }
    return { index: dialect.labels, key: lineKey(found.line) };
  }

  #progress(term: string): Progress | undefined {
    return Object.hasOwn(this.#indexed.terms, term) ? this.#indexed.terms[term] : undefined;
  }

  #notIndexed(lines: readonly TermLine[]): CheckpointError {
    const indexed = Object.keys(this.#indexed.terms).join(", ") || "none";
    // Names that are indexed are the owner's words, as labels are. The name that a call asks for may come from elsewhere.
    const { labels, names } = namesOfTerms(lines.map(({ term }) => term));
    const got = names.length > 0 ? "another name" : labels.map(labelTerm).join(", ");
    const message = `expected query to have a ${names.length > 0 ? "name" : "label"} that is indexed (${indexed}), or query.agentId beside it, got ${got}: see the options indexedLabels and indexedNames`;
    return new CheckpointError("INVALID_ARGUMENT", message);
  }

  /**
   * Indexes what is missing: the labels that this storage was asked for, and what was stored since without its labels. Can be
   * ended and repeated, also by several processes at once. `all`: whatever their ids.
   */
  async index({ signal, onProgress, all = false, isErasing = false }: IndexOptions): Promise<IndexLabelsResult> {
    let examined = 0;
    const result = () => ({ examined, ...namesOfTerms(Object.keys(this.#indexed.terms)) });
    if (this.#dialect.labels === undefined || this.#dialect.settings === undefined) return result();
    const report = (rows: number) => {
      examined += rows;
      onProgress?.(result());
    };
    await this.#run(signal, (deadline) => this.#declare(isErasing, deadline));
    const terms = new Set(Object.keys(this.#indexed.terms));
    if (terms.size === 0) return result();
    const startedAt = Date.now();
    await this.#indexOlder(signal, report);
    const { declaredAt, checked, isSettled } = this.#indexed;
    const isWhole = all || (isErasing && !isSettled);
    const lookedAt = checked === null ? declaredAt : idTime(checked);
    await this.#indexRange(terms, isWhole ? undefined : firstIdAt(lookedAt - OVERLAP_MS), signal, report);
    const settles = isWhole && startedAt > declaredAt + OVERLAP_MS;
    await this.#run(signal, (deadline) => this.#setChecked(firstIdAt(startedAt), settles, deadline));
    this.#events.emit("labelsIndexed", { provider: this.#session.provider, ...result() });
    return result();
  }

  /** Indexes, for terms that are not complete, all checkpoints below those that are indexed, in steps that are remembered. */
  async #indexOlder(signal: AbortSignal | undefined, report: (examined: number) => void): Promise<void> {
    for (;;) {
      const incomplete = Object.entries(this.#indexed.terms).filter(([, { isComplete }]) => !isComplete);
      const [first] = incomplete;
      if (first === undefined) return;
      const { from } = first[1];
      // Those that are as far go together.
      const terms = new Set(incomplete.filter(([, progress]) => progress.from === from).map(([term]) => term));
      const rows = await this.#indexPage(terms, from === null ? {} : { before: from }, signal);
      report(rows.length);
      const next: Progress = { from: rows.at(-1)?.id ?? from, isComplete: rows.length < PAGE };
      await this.#run(signal, (deadline) =>
        this.#change(deadline, (indexed) => {
          const changed = [...terms].filter((term) => {
            const progress = indexed.terms[term];
            return progress !== undefined && !progress.isComplete && progress.from === from;
          });
          if (changed.length === 0) return null; // another process has done it
          return {
            ...indexed,
            terms: { ...indexed.terms, ...Object.fromEntries(changed.map((term) => [term, next])) },
          };
        }),
      );
      await setImmediate();
    }
  }

  /** Indexes all checkpoints since an id, newest first. */
  async #indexRange(
    terms: ReadonlySet<string>,
    since: string | undefined,
    signal: AbortSignal | undefined,
    report: (examined: number) => void,
  ): Promise<void> {
    for (let before: string | undefined; ; ) {
      const range = { ...(since === undefined ? {} : { since }), ...(before === undefined ? {} : { before }) };
      const rows = await this.#indexPage(terms, range, signal);
      report(rows.length);
      before = rows.at(-1)?.id;
      if (rows.length < PAGE || before === undefined) return;
      await setImmediate();
    }
  }

  async #indexPage(
    terms: ReadonlySet<string>,
    range: { readonly since?: string; readonly before?: string },
    signal: AbortSignal | undefined,
  ): Promise<RowHead[]> {
    return await this.#run(signal, async (deadline) => {
      const rows = await this.#dialect.list({ ...range, limit: PAGE }, deadline);
      const label = rowLabels(rows, terms);
      if (label.length > 0) await this.#dialect.commit({ label }, deadline);
      return rows;
    });
  }

  /** Adds the labels that this storage was asked for to those that are indexed. */
  async #declare(isErasing: boolean, signal: AbortSignal): Promise<void> {
    await this.#change(signal, ({ terms, checked }) => {
      const added = [...this.#wanted].filter((term) => !Object.hasOwn(terms, term));
      if (added.length === 0) return null;
      const isComplete = false;
      const declared = { ...terms, ...Object.fromEntries(added.map((term) => [term, { from: null, isComplete }])) };
      if (Object.keys(declared).length > MAX_LABELS) {
        if (isErasing) return null; // erasing by a label that is indexed needs no other one
        throw new CheckpointError(
          "INVALID_ARGUMENT",
          `expected options.indexedLabels and options.indexedNames to be at most ${MAX_LABELS} with those that are indexed already (${Object.keys(terms).join(", ")}), got ${added.join(", ")} beside them`,
        );
      }
      return { terms: declared, declaredAt: Date.now(), checked, isSettled: false };
    });
  }

  /** `settles`: unless more labels were declared meanwhile. */
  async #setChecked(id: string, settles: boolean, signal: AbortSignal): Promise<void> {
    const { declaredAt } = this.#indexed;
    await this.#change(signal, (indexed) => {
      const isSettled = indexed.isSettled || (settles && indexed.declaredAt === declaredAt);
      const checked = (indexed.checked ?? "") >= id ? indexed.checked : id;
      if (checked === indexed.checked && isSettled === indexed.isSettled) return null;
      return { ...indexed, checked, isSettled };
    });
  }

  /** Changes the setting, again if another process has changed it meanwhile. `null`: there is nothing to change. */
  async #change(signal: AbortSignal, change: (indexed: Indexed) => Indexed | null): Promise<void> {
    for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
      await this.#read(signal);
      const changed = change(this.#indexed);
      if (changed === null) return;
      const text = JSON.stringify(changed);
      if (await this.#dialect.settings?.replace(NAME, this.#text, text, signal)) {
        this.#set(text);
        return;
      }
    }
    throw new CheckpointError("CONTENTION", "index labels: other processes keep changing which labels are indexed");
  }

  async #read(signal: AbortSignal): Promise<void> {
    // Rows stored from here on may be later than what is read: the next reading looks after them.
    const storedBefore = this.#storedFrom;
    this.#storedFrom = null;
    let text: string | null | undefined;
    try {
      text = await this.#dialect.settings?.read(NAME, signal);
    } catch (error) {
      this.#storedFrom = earlier(storedBefore, this.#storedFrom);
      throw error;
    }
    const { terms: known } = this.#indexed;
    const storedFrom = earlier(storedBefore, this.#storedFrom);
    this.#set(text ?? null);
    if (this.#other !== null) this.#other.#want(Object.keys(this.#indexed.terms));
    if (storedFrom !== null && this.#hasLearnt(known)) this.#miss(storedFrom);
    this.#indexInBackground();
  }

  #set(text: string | null): void {
    this.#text = text;
    this.#indexed = text === null ? NOTHING : (JSON.parse(text) as Indexed);
    this.#readAt = Date.now();
  }

  /** Tries again what has failed, which is an event, once the setting is read again. */
  #indexInBackground(): void {
    if (this.#background !== null || this.#stopping.signal.aborted) return;
    if (!this.#isAsked && this.#missedFrom === null) return;
    this.#background = this.#indexMissing()
      .catch((error) => {
        if (this.#stopping.signal.aborted) return;
        if (codeOf(error) === "INVALID_ARGUMENT") this.#isAsked = false; // too many terms: no repetition helps
        this.#events.emit("labelIndexingFailed", { provider: this.#session.provider, code: codeOf(error) });
      })
      .finally(() => {
        this.#background = null;
      });
  }

  async #indexMissing(): Promise<void> {
    const { signal } = this.#stopping;
    if (this.#isAsked) {
      await this.index({ signal });
      this.#isAsked = false;
    }
    const from = this.#missedFrom;
    if (from === null) return;
    await this.#indexRange(new Set(Object.keys(this.#indexed.terms)), firstIdAt(from - 1), signal, () => {});
    if (this.#missedFrom === from) this.#missedFrom = null;
  }

  #run<Result>(signal: AbortSignal | undefined, work: (deadline: AbortSignal) => Promise<Result>): Promise<Result> {
    return this.#session.run("index labels", signal, (deadline) => work(deadline));
  }
}

/** The most terms of one database: the setting is small, and each costs a row per checkpoint. */
export const MAX_LABELS = 8;

export interface IndexOptions extends CheckedProgressOptions<IndexLabelsResult> {
  readonly all?: boolean;
  /** Set before an erasing: a row that is missed would stay. */
  readonly isErasing?: boolean;
}

/** Returns the earlier one of two times, each of which may be missing. */
function earlier(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.min(one, other);
}

function rowLabels(rows: readonly LabelledRow[], terms: ReadonlySet<string>): RowLabel[] {
  if (terms.size === 0) return []; // most databases have none, and this is asked before every store
  return rows.flatMap((row) =>
    linesOfTerms(row, terms).map((line) => ({ checkpointId: row.id, label: lineKey(line) })),
  );
}
