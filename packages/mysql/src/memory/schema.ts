import { ITEMS, SIGNATURES, SPACES, TERMS, THREADS, VECTORS } from "@waymark/core/memory/kit";
import { tableOf } from "../records/tables.ts";

/**
 * The tables of memory as Drizzle's, for joins with tables of your own. Change nothing in them: their rows depend on each other.
 *
 * @param tablePrefix as in the options. Default `""`.
 */
export function memoryTables(tablePrefix = "") {
  return {
    memorySpaces: tableOf(SPACES, tablePrefix),
    memoryThreads: tableOf(THREADS, tablePrefix),
    memoryItems: tableOf(ITEMS, tablePrefix),
    memoryVectors: tableOf(VECTORS, tablePrefix),
    memorySignatures: tableOf(SIGNATURES, tablePrefix),
    memoryTerms: tableOf(TERMS, tablePrefix),
  };
}

/** The tables without a prefix; drizzle-kit generates the migrations from them. */
export const { memorySpaces, memoryThreads, memoryItems, memoryVectors, memorySignatures, memoryTerms } =
  memoryTables();
