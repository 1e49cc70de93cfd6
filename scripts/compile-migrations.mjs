// Compiles the migrations of a dialect's package (written by drizzle-kit) into a module in src/, so that bundlers include
// them and no file is read at run time. With --check it writes nothing, and fails if a module is out of date.
//
//   node scripts/compile-migrations.mjs packages/sqlite [--check]
//
// Beside the migrations are files that drizzle-kit does not know:
//
// - minimum-reader.json: by migration, the lowest schema version that can use it.
// - without-rowid.json (SQLite): names of the tables that are kept in the tree of their primary key.
// - in-one-statement.json (MySQL): migrations whose tables are made with their indexes and foreign keys, in one statement each. It takes
//   MySQL tens of milliseconds.
// - storage.json (PostgreSQL): by table and column, how large values are kept: {"table": {"column": "MAIN"}}, as SET STORAGE takes it.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folders of migrations, with the modules in src/ that they are compiled into: of a dialect by domain, of other packages by dialect. */
const MODULES = {
  migrations: "checkpoints/migrations.ts",
  "memory-migrations": "memory/migrations.ts",
  "migrations/sqlite": "migrations/sqlite.ts",
  "migrations/postgres": "migrations/postgres.ts",
  "migrations/mysql": "migrations/mysql.ts",
};

/** Returns the text of a module of migrations for a package folder. */
export function compileMigrations(packageFolder, folder = "migrations") {
  const path = join(packageFolder, folder);
  const journal = JSON.parse(readFileSync(join(path, "meta/_journal.json"), "utf8"));
  const minimumReaders = JSON.parse(readFileSync(join(path, "minimum-reader.json"), "utf8"));
  const clustered = readIfThere(join(path, "without-rowid.json"), []);
  const inOneStatement = readIfThere(join(path, "in-one-statement.json"), []);
  const storage = readIfThere(join(path, "storage.json"), {});
  const migrations = journal.entries.map(({ tag }) => {
    const minimumReader = minimumReaders[tag];
    if (!Number.isInteger(minimumReader)) {
      throw new TypeError(
        `expected ${folder}/minimum-reader.json to give ${tag} the lowest schema version that can use it`,
      );
    }
    const sql = readFileSync(join(path, `${tag}.sql`), "utf8");
    const statements = sql
      .split("--> statement-breakpoint")
      .map((statement) => statement.trim().replace(/;$/, ""))
      .flatMap((statement) => [withoutRowid(statement, clustered), ...setStorage(statement, storage)]);
    return { name: tag, minimumReader, statements: inOneStatement.includes(tag) ? merged(statements) : statements };
  });
  return [
    `// Generated from ${folder}/ by scripts/compile-migrations.mjs: run \`npm run db:generate\`, don't edit.`,
    'import type { Migration } from "@waymark/core/kit";',
    "",
    "export const migrations: readonly Migration[] = [",
    ...migrations.flatMap(({ name, minimumReader, statements }) => [
      "  {",
      `    name: ${JSON.stringify(name)},`,
      `    minimumReader: ${minimumReader},`,
      "    statements: [",
      ...statements.map((statement) => `      ${literal(statement)},`),
      "    ],",
      "  },",
    ]),
    "];",
    "",
  ].join("\n");
}

function readIfThere(file, otherwise) {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : otherwise;
}

/** Drizzle-kit has no words for it. */
function withoutRowid(statement, tables) {
  const name = /^CREATE TABLE `(\w+)`/.exec(statement)?.[1];
  return tables.includes(name) ? `${statement} WITHOUT ROWID` : statement;
}

/** Statements that follow the creation of a table. Drizzle-kit has no words for them either. */
function setStorage(statement, storage) {
  const name = /^CREATE TABLE "(\w+)"/.exec(statement)?.[1];
  return Object.entries(storage[name] ?? {}).map(
    ([column, how]) => `ALTER TABLE "${name}" ALTER COLUMN "${column}" SET STORAGE ${how}`,
  );
}

/** Puts indexes and foreign keys into the statements that create their tables, parents before their parts. */
function merged(statements) {
  const tables = new Map();
  for (const statement of statements) {
    const [, created] = /^CREATE TABLE `(\w+)`/.exec(statement) ?? [];
    const [, altered, constraint] = /^ALTER TABLE `(\w+)` ADD (CONSTRAINT .+)$/.exec(statement) ?? [];
    const [, unique, index, indexed, columns] =
      /^CREATE (UNIQUE )?INDEX (`\w+`) ON `(\w+)` (\(.+\))$/.exec(statement) ?? [];
    if (created !== undefined) tables.set(created, { lines: [statement.replace(/\n\)$/, "")], parents: new Set() });
    else if (altered !== undefined) {
      const table = tables.get(altered);
      table.lines.push(`\t${constraint}`);
      const parent = /REFERENCES `(\w+)`/.exec(constraint)[1];
      if (parent !== altered) table.parents.add(parent);
    } else if (index !== undefined) tables.get(indexed).lines.push(`\t${unique ?? ""}INDEX ${index} ${columns}`);
    else throw new TypeError(`expected a table, an index or a foreign key, got ${statement.slice(0, 64)}`);
  }
  const ordered = [];
  while (tables.size > 0) {
    const ready = [...tables].filter(([, { parents }]) => [...parents].every((parent) => !tables.has(parent)));
    if (ready.length === 0) throw new TypeError("expected foreign keys without a circle");
    for (const [name, { lines }] of ready) {
      ordered.push(`${lines.join(",\n")}\n)`);
      tables.delete(name);
    }
  }
  return ordered;
}

function literal(statement) {
  if (!statement.includes("\n") && !statement.includes('"')) return JSON.stringify(statement);
  return `\`${statement.replace(/[\\`]|\$\{/g, "\\$&")}\``;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [packageFolder, check] = process.argv.slice(2);
  for (const [name, module] of Object.entries(MODULES)) {
    if (!existsSync(join(packageFolder, name, "meta/_journal.json"))) continue;
    const file = join(packageFolder, "src", module);
    const text = compileMigrations(packageFolder, name);
    const current = existsSync(file) && readFileSync(file, "utf8") === text;
    if (check === "--check" && !current) {
      console.error(`${file} is out of date with ${name}/: run npm run db:generate`);
      process.exitCode = 1;
    } else if (!current) {
      writeFileSync(file, text);
      console.log(`wrote ${file}`);
    }
  }
}
