import { DATABASE_OPTIONS, type DomainSchema, type Opened, resolveDatabaseOptions } from "@waymark/core/kit";
import { RecordStore } from "@waymark/core/records";
import { databaseOn, shareConnection } from "../database.ts";
import { type PostgresDatabaseOptions, resolveOptions } from "../options.ts";
import { recordsOn } from "./dialect.ts";
import { foreignDatabase } from "./foreign-database.ts";
import { createVectorExtension } from "./vector-extension.ts";

export { type TableOf, tableOf } from "./tables.ts";
/** The name under which `openRecordStore` finds the factory of every dialect's package. */
export { createPostgresRecords as createRecords };

/**
 * Creates the tables of another package's schema in PostgreSQL. Synchronous: the database is connected to, and the schema migrated, at first
 * use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createPostgresRecords(options: PostgresDatabaseOptions, schema: DomainSchema): RecordStore {
  const resolved = resolveOptions(options, DATABASE_OPTIONS);
  const connection = shareConnection(resolved).share();
  const database = databaseOn(connection, schema, resolved);
  const {
    records,
    open: openRecords,
    lookForExtension,
    onSearch,
  } = recordsOn(connection, resolved, database, () => null);

  async function open(signal: AbortSignal): Promise<Opened> {
    const opened = await openRecords(signal);
    const { pglite } = await connection.get(signal);
    // Of a PGlite that is ours nobody else creates the extension.
    if (pglite === undefined || resolved.pglite !== null || resolved.migrate !== "auto") return opened;
    await onSearch(signal, (_, { runner }) => createVectorExtension(runner));
    await lookForExtension(signal);
    return opened;
  }

  const own = options.client === undefined ? foreignDatabase(connection, resolved) : null;
  const dialect = {
    ...database,
    open,
    records,
    ...(own !== null && { drizzle: own.get }),
    async close() {
      try {
        await own?.close();
      } finally {
        await database.close();
      }
    },
  };
  return new RecordStore(dialect, resolveDatabaseOptions(options));
}
