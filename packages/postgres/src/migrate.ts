import { createHash } from "node:crypto";
import { CheckpointError } from "@waymark/core";
import {
  type AppliedMigration,
  type DomainSchema,
  foreignObject,
  keepWords,
  type Migration,
  mayNotMigrate,
  migrationDigest,
  missingMigrations,
  property,
  schemaOutdated,
  takenName,
  withPrefix,
} from "@waymark/core/kit";
import type { Sql, TransactionSql } from "postgres";
import { begin } from "./client.ts";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** Where a schema is migrated: a PostgreSQL schema ("namespace" in its catalog) and a prefix. */
type Place = Pick<ResolvedOptions, "schema" | "tablePrefix" | "operationTimeoutMs">;

/**
 * Migrates a schema in one transaction that takes an advisory lock first, and checks again inside: of many processes that
 * open an empty database at once, one migrates and the others find it done. The lock belongs to the transaction, so it works
 * through poolers and cannot be left behind.
 */
export async function migrateSchema(
  client: Sql,
  domain: DomainSchema,
  place: Place,
  mode: "apply" | "verify" | "sql",
): Promise<string[]> {
  const { migrations } = domain;
  const missing = missingMigrations(migrations, await readHistory(client, domain, place));
  if (mode === "sql") return missing.length === 0 ? [] : script(domain, place, missing);
  if (missing.length === 0) return [];
  if (mode === "verify") throw schemaOutdated(missing, script(domain, place, missing));
  return await begin(client, async (transaction) => {
    await transaction.unsafe(`SET LOCAL lock_timeout = ${place.operationTimeoutMs}`);
    await transaction.unsafe(`SELECT pg_advisory_xact_lock(${lockKey(place)})`);
    const stillMissing = missingMigrations(migrations, await readHistory(transaction, domain, place));
    if (stillMissing.length === migrations.length) await checkEncoding(transaction);
    for (const statement of steps(domain, place, stillMissing)) {
      await transaction.unsafe(statement).catch((error: unknown) => {
        if (TAKEN.has(property(error, "code")))
          throw foreignObject(`"${place.schema}"."${takenName(statement, error)}"`);
        throw classify(error) === "privilege" ? mayNotMigrate(stillMissing, error) : keepWords(error);
      });
    }
    return stillMissing.map(({ name }) => name);
  });
}

async function readHistory(
  client: Sql | TransactionSql,
  { history }: DomainSchema,
  place: Place,
): Promise<AppliedMigration[]> {
  if (!(await hasTable(client, place.schema, `${place.tablePrefix}${history}`))) return [];
  const table = inPlace(place, history);
  const reading = client.unsafe(`SELECT name, digest, minimum_reader FROM ${table}`).values();
  const rows = await reading.catch((error: unknown) => {
    const isForeign = classify(error) === "schema" || property(error, "code") === "42809"; // of other columns, or an index
    throw isForeign ? foreignObject(table) : error;
  });
  return rows.map(([name, digest, minimumReader]) => ({
    name: name as string,
    digest: digest as string,
    minimumReader: Number(minimumReader),
  }));
}

/** SQLSTATEs of a name that another relation, type, constraint or column has. */
const TAKEN: ReadonlySet<unknown> = new Set(["42P07", "42710", "42701"]);

/** Checks that a database can store all text. */
async function checkEncoding(client: TransactionSql): Promise<void> {
  const [encoding] = await client.unsafe("SELECT current_setting('server_encoding')").values();
  if (encoding?.[0] !== "UTF8") {
    const message = `open database: expected its encoding to be UTF8, got ${String(encoding?.[0])}`;
    throw new CheckpointError("SCHEMA_MISMATCH", message);
  }
}

/**
 * Returns whether there is such a table; the names are checked options. Not by `to_regclass`: it asks the connection's cache of
 * names, which within a transaction may not know a table that another process made during the wait.
 */
async function hasTable(client: Sql | TransactionSql, schema: string, table: string): Promise<boolean> {
  const rows = await client.unsafe(
    `SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace ` +
      `WHERE n.nspname = '${schema}' AND c.relname = '${table}'`,
  );
  return rows.length > 0;
}

function inPlace({ schema, tablePrefix }: Place, table: string): string {
  return `"${schema}"."${tablePrefix}${table}"`;
}

/** 64 bits that no other application is likely to lock. One lock for a schema: storages of two prefixes may both create it. */
function lockKey({ schema }: Place): bigint {
  return createHash("sha256").update(`waymark migrations "${schema}"`).digest().readBigInt64BE();
}

function script(domain: DomainSchema, place: Place, missing: readonly Migration[]): string[] {
  return ["BEGIN", ...steps(domain, place, missing), "COMMIT"];
}

/** The statements of one transaction. Generated ones name no schema but `public`, so the search path says where. */
function steps(domain: DomainSchema, place: Place, missing: readonly Migration[]): string[] {
  const table = inPlace(place, domain.history);
  if (missing.length === 0) return [];
  return [
    // Asked first, since CREATE SCHEMA IF NOT EXISTS wants a right on the database even where the schema exists.
    `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '${place.schema}') THEN CREATE SCHEMA "${place.schema}"; END IF; END $$`,
    `SET LOCAL search_path TO "${place.schema}"`,
    `CREATE TABLE IF NOT EXISTS ${table} (name text PRIMARY KEY, digest text NOT NULL, minimum_reader integer NOT NULL, applied_at bigint NOT NULL)`,
    ...missing.flatMap((migration) => [
      ...migration.statements.map((statement) =>
        withPrefix(statement.replaceAll('"public".', ""), domain, place.tablePrefix),
      ),
      `INSERT INTO ${table} (name, digest, minimum_reader, applied_at) VALUES ('${migration.name}', '${migrationDigest(migration)}', ${migration.minimumReader}, ${Date.now()})`,
    ]),
  ];
}
