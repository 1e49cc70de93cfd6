export type { SQLiteDatabaseOptions } from "../options.ts";
