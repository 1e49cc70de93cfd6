import { setTimeout as delay } from "node:timers/promises";
import { CheckpointError } from "@waymark/core";
import { integer, property, rootCause, type TableDefinition } from "@waymark/core/kit";
import { VECTORS } from "@waymark/core/memory/kit";
import { sql } from "drizzle-orm";
import { PgDialect } from "drizzle-orm/pg-core";
import type { ClientRunner, Runner } from "../client.ts";
import type { Place } from "../records/tables.ts";
import {
  findVectorExtension,
  indexedForm,
  MAX_INDEXED_DIMENSIONS,
  type VectorExtension,
} from "../records/vector-extension.ts";

/** Shortest time between two looks at an index that another process builds; the longest is twice that. */
const POLL_MS = 250;
/** Time for which it is taken as known which indexes there are: other processes may create some, or drop them. */
const KNOWN_MS = 60_000;
/** SQLSTATEs of a build that met another one of the same index: the name is taken, or each waited for the other. */
const MET_ANOTHER: ReadonlySet<unknown> = new Set(["42P07", "23505", "40P01"]);

/** Which indexes of vectors there are, and how they come and go: one for each number of dimensions, over the vectors of all spaces. */
export class VectorIndexes {
  readonly #place: Place & { readonly schema: string };
  /** Number of rows of each index, by dimensions. */
  #rows = new Map<number, number>();
  #knownAt = Number.NEGATIVE_INFINITY;

  constructor(place: Place & { readonly schema: string }) {
    this.#place = place;
  }

  /** Returns the number of rows of an index, about; 0: there is none, or it is not ready. */
  async countRows(runner: Runner, dimensions: number): Promise<number> {
    if (performance.now() - this.#knownAt > KNOWN_MS) {
      const { schema } = this.#place;
      const prefix = this.#nameOf("");
      const found = await runner.run(
        `select index.relname, index.reltuples::bigint from pg_catalog.pg_index
          join pg_catalog.pg_class as index on index.oid = indexrelid
          join pg_catalog.pg_namespace as place on place.oid = index.relnamespace
          where place.nspname = $1 and starts_with(index.relname, $2) and indisvalid`,
        [schema, prefix],
      );
      this.#rows = new Map(found.map(([name, rows]) => [Number(String(name).slice(prefix.length)), Number(rows)]));
      this.#knownAt = performance.now();
    }
    return this.#rows.get(dimensions) ?? 0;
  }

  /**
   * Creates the index, if it is not there. Another process that is building it is waited for; one that died in the middle has left an
   * index that is not valid, which is replaced.
   */
  async create(runner: ClientRunner, dimensions: number, signal: AbortSignal): Promise<string> {
    integer("dimensions", dimensions, 1, MAX_INDEXED_DIMENSIONS, "dimensions, which an index can have");
    const extension = usable(await findVectorExtension(runner));
    const name = this.#nameOf(dimensions);
    for (let state = await this.#claim(runner, name); state !== "ready"; state = await this.#claim(runner, name)) {
      const isDone = state === "absent" && (await this.#build(runner, extension, dimensions));
      // Not all at the same time, if several met.
      if (!isDone) await delay(POLL_MS * (1 + Math.random()), undefined, { signal });
    }
    await this.#removeReplaced(runner, name);
    this.#knownAt = Number.NEGATIVE_INFINITY;
    return name;
  }

  async drop(runner: Runner, dimensions: number): Promise<boolean> {
    const name = this.#nameOf(dimensions);
    const isThere = (await this.#listIndexes(runner, name)).includes(name);
    if (isThere) await runner.run(`drop index concurrently if exists ${this.#inSchema(name)}`, []);
    this.#knownAt = Number.NEGATIVE_INFINITY;
    return isThere;
  }

  /**
   * Looks at an index. One that is not valid, and that nobody builds, gets another name, and is as good as absent. In one transaction
   * under a lock: of two processes only one does that, and neither to what the other has begun meanwhile.
   */
  async #claim(runner: ClientRunner, name: string): Promise<"ready" | "in the making" | "absent"> {
    return await runner.begin(async (transaction) => {
      await transaction.run("select pg_advisory_xact_lock(hashtextextended($1::text, 0))", [
        `waymark index ${this.#inSchema(name)}`,
      ]);
      const [found] = await transaction.run(
        `select index.oid, indisvalid::int, exists (
            select from pg_catalog.pg_locks where locktype = 'relation' and relation = indrelid
              and database = (select oid from pg_catalog.pg_database where datname = current_database())
              and mode = 'ShareUpdateExclusiveLock'
          )::int
          from pg_catalog.pg_index join pg_catalog.pg_class as index on index.oid = indexrelid
          join pg_catalog.pg_namespace as place on place.oid = index.relnamespace
          where place.nspname = $1 and index.relname = $2`,
        [this.#place.schema, name],
      );
      if (found === undefined) return "absent";
      const [oid, isValid, isLocked] = found.map(Number) as [number, number, number];
      if (isValid === 1) return "ready";
      if (isLocked === 1) return "in the making"; // or the table is being vacuumed
      await transaction.run(`alter index ${this.#inSchema(name)} rename to "${name}_old_${oid}"`, []);
      return "absent";
    });
  }

  /**
   * Builds an index beside reads and writes; it waits for all transactions that began before. `false`: another build began within the
   * same milliseconds. PostgreSQL then has one of the two wait for the other, and ends any of them.
   */
  async #build(runner: Runner, extension: VectorExtension, dimensions: number): Promise<boolean> {
    const { columns, name: table }: TableDefinition = VECTORS;
    const { expression, operators } = indexedForm(extension, dimensions);
    const vector = sql.identifier(columns["vector"]?.name ?? "");
    const condition = sql`${sql.identifier(columns["dimensions"]?.name ?? "")} = ${sql.raw(String(dimensions))}`;
    const statement = sql`create index concurrently ${sql.identifier(this.#nameOf(dimensions))}
      on ${sql.raw(this.#inSchema(`${this.#place.tablePrefix}${table}`))}
      using hnsw (${expression(sql`${vector}`)} ${operators}) where ${condition}`;
    try {
      await runner.run(new PgDialect().sqlToQuery(statement).sql, []);
      return true;
    } catch (error) {
      if (!MET_ANOTHER.has(property(rootCause(error), "code"))) throw error;
      return false;
    }
  }

  async #removeReplaced(runner: Runner, name: string): Promise<void> {
    for (const replaced of await this.#listIndexes(runner, `${name}_old_`))
      await runner.run(`drop index concurrently if exists ${this.#inSchema(replaced)}`, []);
  }

  async #listIndexes(runner: Runner, prefix: string): Promise<string[]> {
    const found = await runner.run(
      `select index.relname from pg_catalog.pg_class as index
        join pg_catalog.pg_namespace as place on place.oid = index.relnamespace
        where place.nspname = $1 and index.relkind = 'i' and starts_with(index.relname, $2)`,
      [this.#place.schema, prefix],
    );
    return found.map(([name]) => String(name));
  }

  #nameOf(dimensions: number | ""): string {
    return `${this.#place.tablePrefix}agent_memory_hnsw_${dimensions}`;
  }

  /** The names are checked options, and ours. */
  #inSchema(name: string): string {
    return `"${this.#place.schema}"."${name}"`;
  }
}

function usable(extension: VectorExtension | null): VectorExtension {
  if (extension === null) {
    const message = "create vector index: it needs the extension vector (pgvector): create extension vector";
    throw new CheckpointError("INVALID_CONFIG", message);
  }
  if (!extension.hasIterativeScan) {
    throw new CheckpointError(
      "INVALID_CONFIG",
      `create vector index: it needs version 0.8 or later of the extension vector (pgvector), got ${extension.version}: ` +
        "alter extension vector update",
    );
  }
  return extension;
}
