import {
  type AppliedMigration,
  type DomainSchema,
  foreignObject,
  type Migration,
  migrationDigest,
  missingMigrations,
  property,
  schemaOutdated,
  takenName,
  withPrefix,
} from "@waymark/core/kit";
import type { Handle } from "./handle.ts";

/**
 * Migrates a schema in one transaction that takes the write lock first, and checks again inside: of many processes that open
 * a new file at once, one migrates and the others find it done.
 */
export function migrateSchema(
  handle: Handle,
  domain: DomainSchema,
  tablePrefix: string,
  mode: "apply" | "verify" | "sql",
): string[] {
  const { migrations } = domain;
  const history = `${tablePrefix}${domain.history}`;
  const missing = missingMigrations(migrations, readHistory(handle, history));
  if (mode === "sql") return missing.length === 0 ? [] : script(domain, tablePrefix, missing);
  if (missing.length === 0) return [];
  if (mode === "verify") throw schemaOutdated(missing, script(domain, tablePrefix, missing));
  return handle.transaction(() => {
    const stillMissing = missingMigrations(migrations, readHistory(handle, history));
    for (const statement of steps(domain, tablePrefix, stillMissing)) run(handle, statement);
    return stillMissing.map(({ name }) => name);
  });
}

function readHistory(handle: Handle, history: string): AppliedMigration[] {
  if (!hasTable(handle, history)) return [];
  if (
    Number(
      handle.value(
        `select count(*) from pragma_table_info('${history}') where name in ('name', 'digest', 'minimum_reader')`,
      ),
    ) < 3
  )
    throw foreignObject(history);
  const rows = handle.prepare(`select name, digest, minimum_reader as minimumReader from "${history}"`).all();
  return (rows as AppliedMigration[]).map((row) => ({ ...row, minimumReader: Number(row.minimumReader) }));
}

function run(handle: Handle, statement: string): void {
  try {
    handle.exec(statement);
  } catch (error) {
    // SQLite says in words only that a table, view or index has this name.
    const isTaken = /already (?:exists|another table or index)|duplicate column name/.test(
      String(property(error, "message")),
    );
    throw isTaken ? foreignObject(takenName(statement, error)) : error;
  }
}

function hasTable(handle: Handle, name: string): boolean {
  return handle.prepare("select 1 from sqlite_master where type = 'table' and name = ?").get(name) !== undefined;
}

function script(domain: DomainSchema, tablePrefix: string, missing: readonly Migration[]): string[] {
  return ["BEGIN IMMEDIATE", ...steps(domain, tablePrefix, missing), "COMMIT"];
}

function steps(domain: DomainSchema, tablePrefix: string, missing: readonly Migration[]): string[] {
  const table = `"${tablePrefix}${domain.history}"`;
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (name text PRIMARY KEY NOT NULL, digest text NOT NULL, minimum_reader integer NOT NULL, applied_at integer NOT NULL)`,
    ...missing.flatMap((migration) => [
      ...migration.statements.map((statement) => withPrefix(statement, domain, tablePrefix)),
      `INSERT INTO ${table} (name, digest, minimum_reader, applied_at) VALUES ('${migration.name}', '${migrationDigest(migration)}', ${migration.minimumReader}, ${Date.now()})`,
    ]),
  ];
}
