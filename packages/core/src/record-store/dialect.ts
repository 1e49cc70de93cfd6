import type { Database } from "../database/database.ts";
import type { Records } from "../records/records.ts";

/** Seam between the tables of another package, which are data (see `records/`), and a database. */
export interface RecordDialect extends Database {
  readonly records: Records;
  /** Returns a database of Drizzle's on the same connection, for tables that are not data. Absent: this database has none for others. */
  drizzle?(signal: AbortSignal): Promise<unknown>;
}
