import { boolean, DATABASE_OPTIONS, type DomainSchema, resolveDatabaseOptions } from "@waymark/core/kit";
import { RecordStore } from "@waymark/core/records";
import { databaseOn, shareConnection } from "../database.ts";
import { resolveOptions, type SQLiteDatabaseOptions } from "../options.ts";
import { recordsOn } from "./dialect.ts";

export { type TableOf, tableOf } from "./tables.ts";
/** The name under which `openRecordStore` finds the factory of every dialect's package. */
export { createSQLiteRecords as createRecords };

export interface SQLiteRecordOptions extends SQLiteDatabaseOptions {
  /** Use the functions of sqlite-vec, as in `SQLiteMemoryOptions`. Default `true`. */
  readonly vectorFunctions?: boolean | undefined;
}

/**
 * Creates the tables of another package's schema in an SQLite file. Synchronous: the file is opened, and the schema migrated, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createSQLiteRecords(options: SQLiteRecordOptions, schema: DomainSchema): RecordStore {
  const database = resolveOptions(options, [...DATABASE_OPTIONS, "vectorFunctions"]);
  const { vectorFunctions = true } = options;
  boolean("options.vectorFunctions", vectorFunctions);
  const connection = shareConnection(database).share();
  const { records, reopen } = recordsOn(connection, database, vectorFunctions, () => null);
  const base = databaseOn(connection, schema, database);
  const dialect = {
    ...base,
    async open(signal: AbortSignal) {
      const opened = await base.open(signal);
      await reopen(signal); // the tables may have been gone
      return opened;
    },
    records,
  };
  return new RecordStore(dialect, resolveDatabaseOptions(options));
}
