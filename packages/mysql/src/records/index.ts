import { DATABASE_OPTIONS, type DomainSchema, resolveDatabaseOptions } from "@waymark/core/kit";
import { RecordStore } from "@waymark/core/records";
import { databaseOn, shareConnection } from "../database.ts";
import { type MySQLDatabaseOptions, resolveOptions } from "../options.ts";
import { recordsOn } from "./dialect.ts";

export { type TableOf, tableOf } from "./tables.ts";
/** The name under which `openRecordStore` finds the factory of every dialect's package. */
export { createMySQLRecords as createRecords };

/**
 * Creates the tables of another package's schema in MySQL or MariaDB. Synchronous: the database is connected to, and the schema migrated, at
 * first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createMySQLRecords(options: MySQLDatabaseOptions, schema: DomainSchema): RecordStore {
  const resolved = resolveOptions(options, DATABASE_OPTIONS);
  const connection = shareConnection(resolved).share();
  const database = databaseOn(connection, schema, resolved);
  const { records, open } = recordsOn(connection, resolved, database);
  return new RecordStore({ ...database, open, records }, resolveDatabaseOptions(options));
}
