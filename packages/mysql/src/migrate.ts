import { createHash } from "node:crypto";
import { CheckpointError } from "@waymark/core";
import {
  type AppliedMigration,
  createdTables,
  type DomainSchema,
  foreignObject,
  keepWords,
  type Migration,
  mayNotMigrate,
  migrationDigest,
  missingMigrations,
  property,
  schemaOutdated,
  withPrefix,
} from "@waymark/core/kit";
import type { PoolConnection, RowDataPacket } from "mysql2/promise";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** Where a schema is migrated. */
type Place = Pick<ResolvedOptions, "tablePrefix" | "operationTimeoutMs">;

/**
 * Migrates a schema. Here DDL commits by itself, so a process may die between two statements, and the next one goes on: each
 * statement runs alone, one that was done already counts as done, and a migration is recorded when all of its statements are.
 * A named lock keeps processes from doing the work at once. Some Galera clusters have no such locks; there they may, for the
 * same reason.
 */
export async function migrateSchema(
  connection: PoolConnection,
  domain: DomainSchema,
  place: Place,
  mode: "apply" | "verify" | "sql",
): Promise<string[]> {
  const { migrations } = domain;
  const missing = missingMigrations(migrations, await readHistory(connection, domain, place));
  if (mode === "sql") return missing.length === 0 ? [] : steps(domain, place, missing);
  if (missing.length === 0) return [];
  if (mode === "verify") throw schemaOutdated(missing, steps(domain, place, missing));
  try {
    await lock(connection, place);
    const stillMissing = missingMigrations(migrations, await readHistory(connection, domain, place));
    if (stillMissing.length === 0) return [];
    await checkTables(connection, place, stillMissing);
    await checkForeignKeys(connection, domain, place, stillMissing);
    for (const statement of steps(domain, place, stillMissing)) await runOnce(connection, statement);
    return stillMissing.map(({ name }) => name);
  } catch (error) {
    throw classify(error) === "privilege" ? mayNotMigrate(missing, error) : error;
  } finally {
    connection.destroy(); // and with it the lock
  }
}

async function readHistory(
  connection: PoolConnection,
  { history }: DomainSchema,
  { tablePrefix }: Place,
): Promise<AppliedMigration[]> {
  const table = `${tablePrefix}${history}`;
  const found = await columnsOf(connection, table);
  if (found.size === 0) return [];
  if (!["name", "digest", "minimum_reader"].every((column) => found.has(column))) throw foreignObject(table);
  const rows = await query(connection, `SELECT name, digest, minimum_reader FROM \`${table}\``);
  return rows.map(([name, digest, minimumReader]) => ({
    name: String(name),
    digest: String(digest),
    minimumReader: Number(minimumReader),
  }));
}

/** Checks the tables that will be created: one may be there half-made, but not made by somebody else. */
async function checkTables(
  connection: PoolConnection,
  { tablePrefix }: Place,
  missing: readonly Migration[],
): Promise<void> {
  for (const { name, columns } of createdTables(missing)) {
    const table = `${tablePrefix}${name}`;
    const found = await columnsOf(connection, table);
    if (found.size > 0 && !columns.every((column) => found.has(column))) throw foreignObject(table);
  }
}

/** Checks that no other table has a foreign key with a name of ours: they are unique in a database, and one that is there counts as made. */
async function checkForeignKeys(
  connection: PoolConnection,
  domain: DomainSchema,
  { tablePrefix }: Place,
  missing: readonly Migration[],
): Promise<void> {
  const text =
    "SELECT 1 FROM information_schema.table_constraints WHERE constraint_schema = database() AND constraint_name = ? AND table_name <> ?";
  for (const statement of missing.flatMap(({ statements }) => statements)) {
    const ours = withPrefix(statement, domain, tablePrefix);
    const table = /^(?:CREATE|ALTER) TABLE `(\w+)`/.exec(ours)?.[1];
    if (table === undefined) continue;
    for (const [, name = ""] of ours.matchAll(/CONSTRAINT `(\w+)` FOREIGN KEY/g)) {
      if ((await query(connection, text, name, table)).length > 0) throw foreignObject(name);
    }
  }
}

/** Returns the names of a table's columns, in lower case; none if there is no such table. */
async function columnsOf(connection: PoolConnection, table: string): Promise<Set<string>> {
  const text = "SELECT column_name FROM information_schema.columns WHERE table_schema = database() AND table_name = ?";
  const rows = await query(connection, text, table);
  return new Set(rows.map(([name]) => String(name).toLowerCase()));
}

async function lock(connection: PoolConnection, place: Place): Promise<void> {
  const [[database] = []] = await query(connection, "SELECT database()");
  if (database === null || database === undefined) {
    throw new CheckpointError(
      "INVALID_ARGUMENT",
      "open database: expected the URL or pool to name a database, got none",
    );
  }
  const digest = createHash("sha256")
    .update(`${String(database)}.${place.tablePrefix}`)
    .digest("hex");
  let rows: unknown[][];
  try {
    const seconds = Math.max(1, Math.floor(place.operationTimeoutMs / 1_000));
    rows = await query(connection, "SELECT GET_LOCK(?, ?)", `waymark ${digest.slice(0, 48)}`, seconds);
  } catch (error) {
    if (classify(error) !== "other") throw error;
    return; // this server has no such locks
  }
  if (rows[0]?.[0] === 0) {
    throw new CheckpointError("CONTENTION", "open database: another process has been migrating it for too long");
  }
}

/** Error numbers of a statement that was done before: the table, column, index, foreign key or row is there, or gone. */
const DONE_ALREADY: ReadonlySet<unknown> = new Set([1050, 1060, 1061, 1826, 1062, 1051, 1091]);

async function runOnce(connection: PoolConnection, statement: string): Promise<void> {
  try {
    await connection.query(statement);
  } catch (error) {
    if (DONE_ALREADY.has(property(error, "errno"))) return;
    // MariaDB says of a foreign key that is there only that it cannot make the table: errno 121 within 1005.
    const message = property(error, "message");
    if (property(error, "errno") === 1005 && typeof message === "string" && message.includes("errno: 121")) return;
    throw keepWords(error);
  }
}

async function query(connection: PoolConnection, text: string, ...values: (string | number)[]): Promise<unknown[][]> {
  const [rows] = await connection.query<RowDataPacket[][]>({ sql: text, rowsAsArray: true }, values);
  return rows;
}

/** Other engines accept foreign keys and ignore them, and other row formats have shorter keys: no default of a server counts. */
function withTableOptions(statement: string): string {
  return statement.startsWith("CREATE TABLE") ? `${statement} ENGINE=InnoDB ROW_FORMAT=DYNAMIC` : statement;
}

function steps(domain: DomainSchema, { tablePrefix }: Place, missing: readonly Migration[]): string[] {
  const table = `\`${tablePrefix}${domain.history}\``;
  return [
    withTableOptions(
      `CREATE TABLE IF NOT EXISTS ${table} (name varchar(190) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, digest char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, minimum_reader int NOT NULL, applied_at bigint NOT NULL)`,
    ),
    ...missing.flatMap((migration) => [
      ...migration.statements.map((statement) => withTableOptions(withPrefix(statement, domain, tablePrefix))),
      `INSERT INTO ${table} (name, digest, minimum_reader, applied_at) VALUES ('${migration.name}', '${migrationDigest(migration)}', ${migration.minimumReader}, ${Date.now()})`,
    ]),
  ];
}
