import type { DomainSchema, RecordSchemas } from "@waymark/core/records";
import { migrations as mysql } from "./migrations/mysql.ts";
import { migrations as postgres } from "./migrations/postgres.ts";
import { migrations as sqlite } from "./migrations/sqlite.ts";
import { ELIZA_TABLES } from "./tables.ts";

const SCHEMA: Omit<DomainSchema, "migrations"> = {
  history: "waymark_eliza_migrations",
  stem: "eliza_",
  tables: ELIZA_TABLES.map(({ name, columns }) => ({
    name,
    columns: Object.values(columns).map((column) => column.name),
  })),
};

/** The schema, with the migrations that drizzle-kit has generated for each dialect. */
export const SCHEMAS = {
  sqlite: { ...SCHEMA, migrations: sqlite },
  postgres: { ...SCHEMA, migrations: postgres },
  mysql: { ...SCHEMA, migrations: mysql },
} as const satisfies RecordSchemas;
