import {
  type AppliedMigration,
  foreignTable,
  type Migration,
  migrationDigest,
  missingMigrations,
  type Schema,
  schemaOutdated,
} from "@waymark/core/kit";
import type { Handle } from "./handle.ts";

/**
 * Migrates a schema in one transaction that takes the write lock first, and checks again inside: of many processes that open
 * a new file at once, one migrates and the others find it done.
 */
export function migrateSchema(
  handle: Handle,
  schema: Schema,
  tablePrefix: string,
  mode: "apply" | "verify" | "sql",
): string[] {
  const { migrations } = schema;
  const history = `${tablePrefix}${schema.history}`;
  const missing = missingMigrations(migrations, readHistory(handle, history));
  if (mode === "sql") return missing.length === 0 ? [] : script(schema, tablePrefix, missing);
  if (missing.length === 0) return [];
  if (mode === "verify") throw schemaOutdated(missing, script(schema, tablePrefix, missing));
  const apply = handle.transaction(() => {
    const stillMissing = missingMigrations(migrations, readHistory(handle, history));
    if (stillMissing.length === migrations.length) checkNames(handle, schema, tablePrefix);
    for (const statement of steps(schema, tablePrefix, stillMissing)) handle.exec(statement);
    return stillMissing.map(({ name }) => name);
  });
  return apply.immediate();
}

function readHistory(handle: Handle, history: string): AppliedMigration[] {
  if (!hasTable(handle, history)) return [];
  const rows = handle.prepare(`select name, digest, minimum_reader as minimumReader from "${history}"`).all();
  return (rows as AppliedMigration[]).map((row) => ({ ...row, minimumReader: Number(row.minimumReader) }));
}

/** Checks, in a database without any of the migrations, that no table has one of our names. */
function checkNames(handle: Handle, schema: Schema, tablePrefix: string): void {
  for (const { name } of schema.tables) {
    const table = `${tablePrefix}${name}`;
    if (hasTable(handle, table)) throw foreignTable(table);
  }
}

function hasTable(handle: Handle, name: string): boolean {
  return handle.prepare("select 1 from sqlite_master where type = 'table' and name = ?").get(name) !== undefined;
}

function script(schema: Schema, tablePrefix: string, missing: readonly Migration[]): string[] {
  return ["BEGIN IMMEDIATE", ...steps(schema, tablePrefix, missing), "COMMIT"];
}

function steps({ history, stem }: Schema, tablePrefix: string, missing: readonly Migration[]): string[] {
  const table = `"${tablePrefix}${history}"`;
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (name text PRIMARY KEY NOT NULL, digest text NOT NULL, minimum_reader integer NOT NULL, applied_at integer NOT NULL)`,
    ...missing.flatMap((migration) => [
      ...migration.statements.map((statement) => statement.replaceAll(`\`${stem}`, `\`${tablePrefix}${stem}`)),
      `INSERT INTO ${table} (name, digest, minimum_reader, applied_at) VALUES ('${migration.name}', '${migrationDigest(migration)}', ${migration.minimumReader}, ${Date.now()})`,
    ]),
  ];
}
