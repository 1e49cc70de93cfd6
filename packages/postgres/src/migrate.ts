import { createHash } from "node:crypto";
import { CheckpointError } from "@waymark/core";
import {
  type AppliedMigration,
  foreignTable,
  type Migration,
  migrationDigest,
  missingMigrations,
  schemaOutdated,
} from "@waymark/core/kit";
import type { Sql, TransactionSql } from "postgres";
import { migrations } from "./checkpoints/migrations.ts";
import { begin } from "./connection.ts";
import type { ResolvedOptions } from "./options.ts";

type Place = Pick<ResolvedOptions, "schema" | "tablePrefix" | "operationTimeoutMs">;

/**
 * Brings the schema up to date in one transaction that takes an advisory lock first, and looks again inside: of many
 * processes that open an empty database at once, one migrates and the others find it done. The lock is the
 * transaction's, so that it works through poolers and cannot be left behind.
 */
export async function migrateSchema(client: Sql, place: Place, mode: "apply" | "verify" | "sql"): Promise<string[]> {
  const missing = missingMigrations(migrations, await readHistory(client, place));
  if (mode === "sql") return missing.length === 0 ? [] : script(place, missing);
  if (missing.length === 0) return [];
  if (mode === "verify") throw schemaOutdated(missing, script(place, missing));
  return await begin(client, async (transaction) => {
    // Else, where a database's default is stricter, what we look at after the wait is as it was before.
    await transaction.unsafe("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    await transaction.unsafe(`SET LOCAL lock_timeout = ${place.operationTimeoutMs}`);
    await transaction.unsafe(`SELECT pg_advisory_xact_lock(${lockKey(place)})`);
    const stillMissing = missingMigrations(migrations, await readHistory(transaction, place));
    if (stillMissing.length === migrations.length) await checkPlace(transaction, place);
    for (const statement of steps(place, stillMissing)) await transaction.unsafe(statement);
    return stillMissing.map(({ name }) => name);
  });
}

async function readHistory(client: Sql | TransactionSql, place: Place): Promise<AppliedMigration[]> {
  if (!(await exists(client, place.schema, `${place.tablePrefix}waymark_migrations`))) return [];
  const rows = await client.unsafe(`SELECT name, digest, minimum_reader FROM ${historyTable(place)}`).values();
  return rows.map(([name, digest, minimumReader]) => ({
    name: name as string,
    digest: digest as string,
    minimumReader: Number(minimumReader),
  }));
}

/** For a database that has none of our migrations. */
async function checkPlace(client: TransactionSql, { schema, tablePrefix }: Place): Promise<void> {
  const table = `${tablePrefix}agent_checkpoints`;
  if (await exists(client, schema, table)) throw foreignTable(`"${schema}"."${table}"`);
  const [encoding] = await client.unsafe("SELECT current_setting('server_encoding')").values();
  if (encoding?.[0] !== "UTF8") {
    const message = `open database: expected its encoding to be UTF8, got ${String(encoding?.[0])}`;
    throw new CheckpointError("SCHEMA_MISMATCH", message);
  }
}

/**
 * Whether there is such a table; the names are ours, checked. Not by `to_regclass`: that asks the connection's cache of
 * names, which within a transaction need not have heard of a table that another process made while we waited.
 */
async function exists(client: Sql | TransactionSql, schema: string, table: string): Promise<boolean> {
  const rows = await client.unsafe(
    `SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace ` +
      `WHERE n.nspname = '${schema}' AND c.relname = '${table}'`,
  );
  return rows.length > 0;
}

function historyTable({ schema, tablePrefix }: Place): string {
  return `"${schema}"."${tablePrefix}waymark_migrations"`;
}

/** 64 bits that no other application is likely to lock. One for a schema, which storages of two prefixes may both make. */
function lockKey({ schema }: Place): bigint {
  return createHash("sha256").update(`waymark migrations "${schema}"`).digest().readBigInt64BE();
}

function script(place: Place, missing: readonly Migration[]): string[] {
  return ["BEGIN", ...steps(place, missing), "COMMIT"];
}

/** For one transaction: the generated statements name no schema but `public`, so the search path says where. */
function steps(place: Place, missing: readonly Migration[]): string[] {
  const history = historyTable(place);
  if (missing.length === 0) return [];
  return [
    // Asked first, since CREATE SCHEMA IF NOT EXISTS wants a right on the database even where the schema exists.
    `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '${place.schema}') THEN CREATE SCHEMA "${place.schema}"; END IF; END $$`,
    `SET LOCAL search_path TO "${place.schema}"`,
    `CREATE TABLE IF NOT EXISTS ${history} (name text PRIMARY KEY, digest text NOT NULL, minimum_reader integer NOT NULL, applied_at bigint NOT NULL)`,
    ...missing.flatMap((migration) => [
      ...migration.statements.map((statement) =>
        statement.replaceAll('"public".', "").replaceAll('"agent_checkpoint', `"${place.tablePrefix}agent_checkpoint`),
      ),
      `INSERT INTO ${history} (name, digest, minimum_reader, applied_at) VALUES ('${migration.name}', '${migrationDigest(migration)}', ${migration.minimumReader}, ${Date.now()})`,
    ]),
  ];
}
