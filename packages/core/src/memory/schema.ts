import type { DomainSchema } from "../database/migrations.ts";
import { MEMORY_TABLES } from "./tables.ts";

/** The schema of memory, without its migrations, which each dialect has generated from its tables. */
export const MEMORY_SCHEMA: Omit<DomainSchema, "migrations"> = {
  history: "waymark_memory_migrations",
  stem: "agent_memory",
  tables: MEMORY_TABLES.map(({ name, columns }) => ({
    name,
    columns: Object.values(columns).map((column) => column.name),
  })),
};
