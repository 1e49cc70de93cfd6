import { CheckpointError, integer, invalidArgument, objectWithKeys, property } from "@waymark/core/records";
import { acquire, type SharedConnection } from "../connections.ts";
import { checkOptions, resolveOptions, type WaymarkOptions } from "../options.ts";
import { PLANS, type Plan, type PlannedTable, type Refused } from "./plans.ts";
import { type ImportSource, OPERATION, openSource, type Source } from "./source.ts";
import { type Item, type Outcome, Target } from "./target.ts";

export type { ImportSource };

export interface ImportOptions {
  readonly from: ImportSource;
  /** Where the rows go: options as the plugin takes them, or a connection. */
  readonly to: WaymarkOptions | SharedConnection;
  /** Whether the logs are imported too. Default `false`: they are the most, and ElizaOS reads the newest alone. */
  readonly logs?: boolean | undefined;
  /** Rows that are read and written at once, at most 5,000. Default 500. */
  readonly batch?: number | undefined;
  /** Ends the import. What was written stays; another import goes on. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch. */
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
}

export interface ImportProgress {
  readonly table: PlannedTable;
  /** Rows of the table that were dealt with. */
  readonly done: number;
  /** Rows that it had when the import came to it. */
  readonly total: number;
}

/** A row of the source that is not here as it was. */
export interface ImportProblem {
  /** Its primary key. */
  readonly key: string;
  readonly reason: string;
}

/** What became of the rows of one table: `read` is the sum of `inserted`, `skipped`, `merged` and `failed`. */
export interface TableReport {
  readonly read: number;
  readonly inserted: number;
  /** Those that were here already. */
  readonly skipped: number;
  /** Those of `skipped` that have another content here: they were changed since they were imported. */
  readonly changed: number;
  /** Those that are a part of another one here: a participant that was there twice. */
  readonly merged: number;
  readonly failed: number;
  /** The first 1,000 of those that failed. */
  readonly problems: readonly ImportProblem[];
}

export type ImportReport = Readonly<Record<PlannedTable | "embeddings", TableReport>>;

const KEYS = ["from", "to", "logs", "batch", "signal", "onProgress"] as const;

const MAX_BATCH = 5_000;
const MAX_PROBLEMS = 1_000;

/**
 * Copies what plugin-sql 1.7 keeps in PostgreSQL or PGlite: agents, entities, worlds, rooms, components, memories with all their
 * vectors, participants, relationships, tasks and the cache, and the logs if that is wished. Stop the agents first: what they write
 * meanwhile may be missed.
 *
 * Rows that are here already stay as they are. So it may be repeated, and one that was interrupted goes on. Every row that was written is
 * read again, and compared. A row that cannot be kept is in the report, and does not stop the others.
 * @throws CheckpointError `INVALID_ARGUMENT`, `INVALID_CONFIG` if a package is missing, `ABORTED`, or any code of a database's
 */
export async function importPluginSql(options: ImportOptions): Promise<ImportReport> {
  const { from, to, logs = false, batch, signal, onProgress = () => {} } = checkImport(options);
  const connection = isConnection(to) ? to : acquire(resolveOptions(checkOptions(to, "options.to")).place);
  try {
    const store = await connection.store();
    const source = await openSource(from);
    try {
      const target = new Target(store, signal);
      const report = new Map(PLANS.map(({ name }) => [name, new Counts()]));
      const embeddings = new Counts();
      for (const plan of PLANS) {
        if (plan.name === "logs" && !logs) continue;
        const counts = report.get(plan.name) as Counts;
        for await (const progress of runPlan(plan, source, target, batch, [counts, embeddings])) {
          onProgress(progress);
          if (signal?.aborted) {
            const message = `${OPERATION}: cancelled by the caller's signal`;
            throw new CheckpointError("ABORTED", message, { cause: signal.reason });
          }
        }
      }
      return Object.fromEntries([...report, ["embeddings", embeddings]]) as unknown as ImportReport;
    } finally {
      await source.close();
    }
  } finally {
    if (connection !== to) await connection.release();
  }
}

async function* runPlan(
  plan: Plan,
  source: Source,
  target: Target,
  size: number,
  [counts, embeddings]: readonly [Counts, Counts],
): AsyncGenerator<ImportProgress> {
  const { name, table } = plan;
  const total = await source.count(name);
  for await (const page of plan.items(source, target, size)) {
    const items = page.filter((one): one is Item => "rows" in one);
    const outcomes = await target.write(table, items);
    for (const [at, item] of items.entries()) {
      counts.add(item, item.read, 1, outcomes[at] as Outcome);
      embeddings.add(item, item.embeddings, item.embeddings, outcomes[at] as Outcome);
    }
    for (const refused of page.filter((one): one is Refused => "reason" in one)) {
      counts.add(refused, refused.read, 0, refused);
      embeddings.add(refused, refused.embeddings, 0, refused);
    }
    yield { table: name, done: counts.read, total };
  }
}

class Counts implements TableReport {
  read = 0;
  inserted = 0;
  skipped = 0;
  changed = 0;
  merged = 0;
  failed = 0;
  readonly problems: ImportProblem[] = [];

  /** Adds what became of `read` rows, of which `kept` have one of their own here. */
  add({ key }: { readonly key: string }, read: number, kept: number, outcome: Outcome): void {
    if (read === 0) return;
    this.read += read;
    if (typeof outcome !== "string") {
      this.failed += read;
      if (this.problems.length < MAX_PROBLEMS) this.problems.push({ key, reason: outcome.reason });
      return;
    }
    this.merged += read - kept;
    if (outcome === "inserted") this.inserted += kept;
    else this.skipped += kept;
    if (outcome === "changed") this.changed += kept;
  }
}

function isConnection(value: WaymarkOptions | SharedConnection): value is SharedConnection {
  return typeof property(value, "store") === "function";
}

function checkImport(value: ImportOptions) {
  const options = objectWithKeys("options", value, KEYS);
  const { from, logs, batch = 500, onProgress, signal } = options;
  checkSource(from);
  if (logs !== undefined && typeof logs !== "boolean") throw invalidArgument("options.logs", "a boolean", logs);
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalidArgument("options.onProgress", "a function", onProgress);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalidArgument("options.signal", "an AbortSignal", signal);
  }
  return { ...value, batch: integer("options.batch", batch, 1, MAX_BATCH, "rows") };
}

function checkSource(value: unknown): void {
  const source = objectWithKeys("options.from", value, ["postgresUrl", "pgliteDataDir", "db", "database"]);
  const given = (["postgresUrl", "pgliteDataDir", "db"] as const).filter((name) => source[name] !== undefined);
  if (given.length !== 1) {
    const got = given.length === 0 ? "none" : given.join(" and ");
    const message = `expected options.from to have one of postgresUrl, pgliteDataDir and db, got ${got}`;
    throw new CheckpointError("INVALID_ARGUMENT", message);
  }
  const [name] = given as [(typeof given)[number]];
  if (name === "db") return;
  if (typeof source[name] !== "string" || source[name] === "") {
    throw invalidArgument(`options.from.${name}`, "a string that is not empty", source[name]);
  }
}
