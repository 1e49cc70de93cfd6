import { property, rootCause } from "@waymark/core/kit";
import { type SQL, sql } from "drizzle-orm";
import type { Runner } from "../client.ts";

/** The extension vector (pgvector), as it is in this database. Everything works without it, more slowly. */
export interface VectorExtension {
  /** The PostgreSQL schema of its types and operators, in quotes if it needs them. It may be outside of the search path. */
  readonly schema: string;
  readonly version: string;
  /** An index goes on with its search where a filter has left too few rows: since version 0.8. */
  readonly hasIterativeScan: boolean;
}

/** Looks for the extension; `null`: it is not there, or this role may not use it. */
export async function findVectorExtension(runner: Runner): Promise<VectorExtension | null> {
  const [found] = await runner.run(
    `select quote_ident(place.nspname), extension.extversion from pg_catalog.pg_extension as extension
      join pg_catalog.pg_namespace as place on place.oid = extension.extnamespace
      where extension.extname = 'vector' and has_schema_privilege(place.oid, 'usage')`,
    [],
  );
  if (found === undefined) return null;
  const [schema, version] = found.map(String) as [string, string];
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return { schema, version, hasIterativeScan: major > 0 || minor >= 8 };
}

/** SQLSTATEs of an extension whose files are not there. */
const NOT_INSTALLED: ReadonlySet<unknown> = new Set(["0A000", "58P01"]);

/** Creates the extension in a database of PGlite, which nobody administers, if its package is installed. */
export async function createVectorExtension(runner: Runner): Promise<void> {
  try {
    await runner.run("create extension if not exists vector", []);
  } catch (error) {
    // Not installed: everything works without it.
    if (!NOT_INSTALLED.has(property(rootCause(error), "code"))) throw error;
  }
}

/** PostgreSQL's text of a vector as the extension's type. */
export function vectorText(vector: Float32Array): string {
  return JSON.stringify(Array.from(vector));
}

/** The cosine distance between a column of vectors and the vector that a parameter has as text. */
export function distanceTo({ schema }: VectorExtension, column: SQL, parameter: unknown): SQL {
  const type = sql.raw(`${schema}.vector`);
  return sql`${column}::${type} operator(${sql.raw(schema)}.<=>) ${parameter}::${type}`;
}

/** The most dimensions of vectors that an index holds as float32. */
const MAX_FULL_DIMENSIONS = 2_000;
/** The most dimensions of vectors that an index holds at all: as half-precision floats. */
export const MAX_INDEXED_DIMENSIONS = 4_000;

/** The type in which an index holds vectors of these dimensions, an expression in it, and the class of operators. */
interface IndexedForm {
  readonly expression: (vector: SQL) => SQL;
  readonly operators: SQL;
}

/**
 * Returns the form in which an index holds vectors of these dimensions. Half-precision floats end at 65,504, so those are of vectors of
 * length 1: a cosine is the same.
 */
export function indexedForm({ schema }: VectorExtension, dimensions: number): IndexedForm {
  const vector = sql.raw(`${schema}.vector(${dimensions})`);
  if (dimensions <= MAX_FULL_DIMENSIONS) {
    return { expression: (given) => sql`(${given}::${vector})`, operators: sql.raw(`${schema}.vector_cosine_ops`) };
  }
  const [normalize, half] = [sql.raw(`${schema}.l2_normalize`), sql.raw(`${schema}.halfvec(${dimensions})`)];
  return {
    expression: (given) => sql`(${normalize}(${given}::${vector})::${half})`,
    operators: sql.raw(`${schema}.halfvec_cosine_ops`),
  };
}
