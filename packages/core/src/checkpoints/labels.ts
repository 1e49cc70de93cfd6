import { setImmediate } from "node:timers/promises";
import type { IndexLabelsResult } from "../contract/checkpoints.ts";
import { CheckpointError, codeOf } from "../contract/errors.ts";
import type { StorageEvents } from "../contract/status.ts";
import type { Emitter } from "../database/events.ts";
import type { Session } from "../database/session.ts";
import type { CheckedProgressOptions, LookUp, TermLine } from "./arguments.ts";
import type { Dialect, LabelIndex, RowHead, RowLabel } from "./dialect.ts";
import { firstIdAt, idTime } from "./ids.ts";
import { PAGE } from "./paging.ts";
import { MAX_PLANS } from "./rebase.ts";
import { labelTerm, lineKey, linesOfTerms, namesOfTerms } from "./terms.ts";

/**
 * The index of labels: which labels are indexed, and that all checkpoints which have them are in it. The name of a checkpoint is
 * one more label here; what is indexed are terms, see `terms.ts`.
 *
 * The database knows which labels are indexed, by a setting, so every process that stores writes its rows' labels with them,
 * whatever it was opened with. What is older is indexed in steps, from the newest checkpoint down.
 *
 * Some rows are stored without their labels still: by a process that has not read yet that a label is indexed, or by one of an
 * earlier version. A process that learns of a label indexes what was stored since it last looked. Each start with the option
 * looks at all checkpoints since the last such look. An erasing looks at all there are, whatever their ids, until that was done
 * once after every process had learnt of the labels.
 */

const NAME = "indexed_labels";
/** Time after which a process that stores reads again which labels are indexed. */
const REFRESH_MS = 15_000;
/** Ids are not quite in the order of commits: clocks differ, and a commit takes its time. Much longer than `REFRESH_MS`. */
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
  /** Whether the labels that this storage was asked for are still to be indexed. */
  #isAsked = false;
  /** Time since which this process has stored rows without labels that it has learnt of; `null`: none are to be indexed. */
  #missedSince: number | null = null;
  #background: Promise<void> | null = null;
  readonly #stopping = new AbortController();

  constructor({ dialect, session, events }: LabelsParts, wanted: readonly string[]) {
    this.#dialect = dialect;
    this.#session = session;
    this.#events = events;
    this.#wanted = new Set(wanted);
  }

  get wanted(): readonly string[] {
    return [...this.#wanted];
  }

  /** Asks for more terms: a backup indexes what its main does. */
  want(terms: readonly string[]): void {
    for (const term of terms) this.#wanted.add(term);
  }

  /** Starts to index in the background, if this storage was asked for labels. */
  start(): void {
    this.#isAsked = this.#wanted.size > 0;
    this.#indexInBackground();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#background;
  }

  /** Makes sure that it is known which labels are indexed, as of a few seconds ago, before rows with labels are inserted. */
  async load(signal: AbortSignal): Promise<void> {
    if (this.#dialect.labels === undefined) return;
    if (this.#readAt === null || Math.abs(Date.now() - this.#readAt) > REFRESH_MS) await this.#read(signal);
  }

  /** Returns the labels to index with these rows. */
  of(rows: readonly LabelledRow[]): RowLabel[] {
    const terms = Object.keys(this.#indexed.terms);
    return terms.length === 0 ? [] : rowLabels(rows, new Set(terms));
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
    const found = lines.find(isComplete) ?? lines.find(({ term }) => this.#progress(term) !== undefined);
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
    // Labels by their names. The name of a checkpoint is text of the user's, and errors do not show it.
    const { labels, names } = namesOfTerms(lines.map(({ term }) => term));
    const got = names.length > 0 ? "another name" : labels.map(labelTerm).join(", ");
    const message = `expected query to have a label or name that is indexed (${indexed}), or query.agentId beside it, got ${got}: see the options indexedLabels and indexedNames`;
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
    await this.#run(signal, (deadline) => this.#declare(deadline));
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
  async #declare(signal: AbortSignal): Promise<void> {
    await this.#change(signal, ({ terms, checked }) => {
      const added = this.wanted.filter((term) => !Object.hasOwn(terms, term));
      if (added.length === 0) return null;
      const isComplete = false;
      const declared = { ...terms, ...Object.fromEntries(added.map((term) => [term, { from: null, isComplete }])) };
      if (Object.keys(declared).length > MAX_LABELS) {
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
    const known = this.#indexed.terms;
    const readAt = this.#readAt;
    this.#set((await this.#dialect.settings?.read(NAME, signal)) ?? null);
    const hasLearnt = Object.keys(this.#indexed.terms).some((term) => !Object.hasOwn(known, term));
    if (hasLearnt && readAt !== null) this.#missedSince = Math.min(this.#missedSince ?? readAt, readAt);
    this.#indexInBackground();
  }

  #set(text: string | null): void {
    this.#text = text;
    this.#indexed = text === null ? NOTHING : (JSON.parse(text) as Indexed);
    this.#readAt = Date.now();
  }

  /** What fails is an event, and tried again once the setting is read again. */
  #indexInBackground(): void {
    if (this.#background !== null || this.#stopping.signal.aborted) return;
    if (!this.#isAsked && this.#missedSince === null) return;
    this.#background = this.#indexMissing()
      .catch((error) => {
        if (this.#stopping.signal.aborted) return;
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
    const since = this.#missedSince;
    if (since === null) return;
    await this.#indexRange(new Set(Object.keys(this.#indexed.terms)), firstIdAt(since - OVERLAP_MS), signal, () => {});
    if (this.#missedSince === since) this.#missedSince = null;
  }

  #run<Result>(signal: AbortSignal | undefined, work: (deadline: AbortSignal) => Promise<Result>): Promise<Result> {
    return this.#session.run("index labels", signal, (deadline) => work(deadline));
  }
}

/** The most terms of one database: the setting is small, and each costs a row per checkpoint. */
export const MAX_LABELS = 8;

export interface IndexOptions extends CheckedProgressOptions<IndexLabelsResult> {
  readonly all?: boolean;
  /** What it finds is erased: a row that it misses would stay. */
  readonly isErasing?: boolean;
}

function rowLabels(rows: readonly LabelledRow[], terms: ReadonlySet<string>): RowLabel[] {
  return rows.flatMap((row) =>
    linesOfTerms(row, terms).map((line) => ({ checkpointId: row.id, label: lineKey(line) })),
  );
}
