export type { PostgresDatabaseOptions } from "../options.ts";
