import {
  type AppliedMigration,
  foreignTable,
  type Migration,
  migrationDigest,
  missingMigrations,
  schemaOutdated,
} from "@waymark/core/kit";
import { migrations } from "./checkpoints/migrations.ts";
import type { Handle } from "./handle.ts";

/**
 * Brings the schema up to date in one transaction that takes the write lock first, and looks again inside: of many
 * processes that open a new file at once, one migrates and the others find it done.
 */
export function migrateSchema(handle: Handle, tablePrefix: string, mode: "apply" | "verify" | "sql"): string[] {
  const history = `${tablePrefix}waymark_migrations`;
  const missing = missingMigrations(migrations, readHistory(handle, history));
  if (mode === "sql") return missing.length === 0 ? [] : script(history, tablePrefix, missing);
  if (missing.length === 0) return [];
  if (mode === "verify") throw schemaOutdated(missing, script(history, tablePrefix, missing));
  const apply = handle.transaction(() => {
    const stillMissing = missingMigrations(migrations, readHistory(handle, history));
    const table = `${tablePrefix}agent_checkpoints`;
    if (stillMissing.length === migrations.length && hasTable(handle, table)) throw foreignTable(table);
    for (const statement of steps(history, tablePrefix, stillMissing)) handle.exec(statement);
    return stillMissing.map(({ name }) => name);
  });
  return apply.immediate();
}

function readHistory(handle: Handle, history: string): AppliedMigration[] {
  if (!hasTable(handle, history)) return [];
  const rows = handle.prepare(`select name, digest, minimum_reader as minimumReader from "${history}"`).all();
  return (rows as AppliedMigration[]).map((row) => ({ ...row, minimumReader: Number(row.minimumReader) }));
}

function hasTable(handle: Handle, name: string): boolean {
  return handle.prepare("select 1 from sqlite_master where type = 'table' and name = ?").get(name) !== undefined;
}

function script(history: string, tablePrefix: string, missing: readonly Migration[]): string[] {
  return ["BEGIN IMMEDIATE", ...steps(history, tablePrefix, missing), "COMMIT"];
}

function steps(history: string, tablePrefix: string, missing: readonly Migration[]): string[] {
  return [
    `CREATE TABLE IF NOT EXISTS "${history}" (name text PRIMARY KEY NOT NULL, digest text NOT NULL, minimum_reader integer NOT NULL, applied_at integer NOT NULL)`,
    ...missing.flatMap((migration) => [
      ...migration.statements.map((statement) =>
        statement.replaceAll("`agent_checkpoint", `\`${tablePrefix}agent_checkpoint`),
      ),
      `INSERT INTO "${history}" (name, digest, minimum_reader, applied_at) VALUES ('${migration.name}', '${migrationDigest(migration)}', ${migration.minimumReader}, ${Date.now()})`,
    ]),
  ];
}
