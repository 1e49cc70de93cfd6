import { type ColumnOf, removeKeys, type Where } from "@waymark/core/records";
import type { UUID } from "./contract.ts";
import type { Database } from "./database.ts";
import { LOGS, MEMORIES } from "./tables.ts";

/** Rows that a commit removes. */
const REMOVED_AT_ONCE = 5_000;

/** Whose rows are removed. */
export type Owner =
  | { readonly agent: UUID }
  | { readonly entity: UUID }
  | { readonly room: UUID | { readonly in: readonly UUID[] } };

/**
 * Removes the rows of the large tables that go with an agent, an entity or rooms, a commit at a time: removing their owner takes them along
 * in one, which may be too many for it.
 */
export async function clearLarge(database: Database, operation: string, owner: Owner): Promise<void> {
  await clear(database, operation, MEMORIES, owner);
  await clear(database, operation, LOGS, owner);
}

async function clear<const Table extends typeof MEMORIES | typeof LOGS>(
  database: Database,
  operation: string,
  table: Table,
  owner: Owner,
): Promise<void> {
  type Key = Table["key"][number] & ColumnOf<Table>;
  const query = { where: owner as Where<Table>, columns: table.key as readonly Key[], limit: REMOVED_AT_ONCE };
  for (let isLast = false; !isLast; ) {
    isLast = await database.run(operation, async (records, signal) => {
      const keys = await records.find<Table, Key>(table, query, signal);
      if (keys.length > 0) await records.change([removeKeys(table, keys)], signal);
      return keys.length < REMOVED_AT_ONCE;
    });
  }
}
