export type { MySQLDatabaseOptions } from "../options.ts";
