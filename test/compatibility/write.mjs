// Makes the databases of v793ce5e/ with the packages of v793ce5e/packages.tgz: `node write.mjs sqlite postgres mysql mariadb`.
// See README.md. Needs PostgreSQL's pg_dump and MariaDB's mariadb-dump.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createDatabase, startServer } from "waymark-test-servers";
import { encrypted, pair, plain, ringOf } from "./src/contents.mjs";
import { loadOldPackages, unpackOldPackages } from "./src/old-packages.mjs";
import { take } from "./src/steps.mjs";

/** @import { CheckpointStorage, CommonStorageOptions } from "@waymark/core" */
/** @typedef {(options: CommonStorageOptions) => CheckpointStorage} Open */

const folder = unpackOldPackages();
const { createReplicatedStorage, createSQLiteStorage, createPostgresStorage, createMySQLStorage } =
  await loadOldPackages(folder);

try {
  for (const kind of process.argv.slice(2)) {
    if (kind === "sqlite") await writeSqlite();
    else if (kind === "postgres" || kind === "mysql" || kind === "mariadb") await writeOnServer(kind);
    else throw new TypeError(`expected sqlite, postgres, mysql or mariadb, got ${kind}`);
  }
} finally {
  rmSync(folder, { recursive: true });
}

async function writeSqlite() {
  const own = mkdtempSync(join(tmpdir(), "waymark-write-"));
  try {
    const databasePath = join(own, "agent_state.db");
    await write((options) => createSQLiteStorage({ databasePath, ...options }));
    copyFileSync(databasePath, pathOf("sqlite.db"));
  } finally {
    rmSync(own, { recursive: true });
  }
}

/** @param {"postgres" | "mysql" | "mariadb"} kind */
async function writeOnServer(kind) {
  const server = await startServer(kind);
  const database = await createDatabase(server.url);
  const create = kind === "postgres" ? createPostgresStorage : createMySQLStorage;
  try {
    await write((options) => create({ connectionString: database.url, ...options }));
    const { hostname, port, username } = new URL(server.url);
    writeFileSync(pathOf(`${kind}.sql`), kind === "postgres" ? pgDump(database.url) : mysqlDump());

    function mysqlDump() {
      const address = ["--protocol=tcp", `--host=${hostname}`, `--port=${port}`, `--user=${username}`];
      const what = [
        "--hex-blob",
        "--single-transaction",
        "--no-tablespaces",
        "--skip-add-drop-table",
        "--skip-add-locks",
      ];
      const text = run("mariadb-dump", ["--no-defaults", ...address, ...what, "--skip-dump-date", database.name]);
      // The first line is only for MariaDB's client: it turns off shell commands.
      return text.replace(/^\/\*M?!999999.*\n/, "").replace(/^-- Host: .*\n/m, "");
    }
  } finally {
    await database.drop();
    await server.stop();
  }
}

/** @param {string} url */
function pgDump(url) {
  const text = run("pg_dump", ["--inserts", "--rows-per-insert=50", "--no-owner", "--no-privileges", url]);
  return text.replace(/^\\(un)?restrict .*\n/gm, ""); // commands of psql, not SQL
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
function run(command, args) {
  return execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
}

/** @param {string} name */
function pathOf(name) {
  return fileURLToPath(new URL(`v793ce5e/${name}`, import.meta.url));
}

/**
 * Writes all four stores.
 * @param {Open} open
 */
async function write(open) {
  await use(open({ tablePrefix: "plain_" }), plain.first);
  await use(open({ tablePrefix: "plain_" }), plain.second);

  const older = { keys: ringOf("2026-10") };
  const newer = { keys: ringOf("2026-10", "2026-11") };
  await use(open({ tablePrefix: "enc_", encryption: older }), encrypted.first);
  await use(open({ tablePrefix: "enc_", encryption: newer }), encrypted.second);

  const main = () => open({ tablePrefix: "main_" });
  const backup = () => open({ tablePrefix: "backup_" });
  await use(createReplicatedStorage({ main: main(), backup: backup() }), pair.both);
  await use(createReplicatedStorage({ main: main(), backup: unreachable() }), pair.withoutBackup);
  await use(createReplicatedStorage({ main: unreachable(), backup: backup() }), pair.withoutMain);
}

/** Creates a storage whose address refuses connections. */
function unreachable() {
  return createPostgresStorage({ connectionString: "postgres://127.0.0.1:1/away", retry: { maxRetries: 0 } });
}

/**
 * Takes steps and closes the storage, as one process would.
 * @param {CheckpointStorage} storage
 * @param {Parameters<typeof take>[1]} steps
 */
async function use(storage, steps) {
  await take(storage, steps);
  const { unsent } = await storage.close();
  console.log(`${steps.length} steps; unsent: ${JSON.stringify(unsent)}`);
}
