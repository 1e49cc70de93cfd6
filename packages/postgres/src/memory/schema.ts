import { ITEMS, SIGNATURES, SPACES, TERMS, THREADS, VECTORS } from "@waymark/core/memory/kit";
import { tableOf } from "../records/tables.ts";

/**
 * The tables of memory as Drizzle's, for joins with tables of your own. Change nothing in them: their rows depend on each other.
 *
 * @param tablePrefix as in the options. Default `""`.
 * @param schema the PostgreSQL schema that they are in, as in the options. Default `"public"`; `null`: as the search path says.
 */
export function memoryTables(tablePrefix = "", schema: string | null = "public") {
  const place = { tablePrefix, schema };
  return {
    memorySpaces: tableOf(SPACES, place),
    memoryThreads: tableOf(THREADS, place),
    memoryItems: tableOf(ITEMS, place),
    memoryVectors: tableOf(VECTORS, place),
    memorySignatures: tableOf(SIGNATURES, place),
    memoryTerms: tableOf(TERMS, place),
  };
}

/** The tables without a prefix or a schema; drizzle-kit generates the migrations from them. */
export const { memorySpaces, memoryThreads, memoryItems, memoryVectors, memorySignatures, memoryTerms } = memoryTables(
  "",
  null,
);
