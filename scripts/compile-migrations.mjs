// Compiles a dialect package's migrations/ (written by drizzle-kit) into src/checkpoints/migrations.ts, so that bundlers include
// them and no file is read at run time. With --check it writes nothing, and fails if the module is out of date.
//
//   node scripts/compile-migrations.mjs packages/sqlite [--check]

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Returns the text of src/checkpoints/migrations.ts for a package folder. */
export function compileMigrations(packageFolder) {
  const folder = join(packageFolder, "migrations");
  const journal = JSON.parse(readFileSync(join(folder, "meta/_journal.json"), "utf8"));
  const minimumReaders = JSON.parse(readFileSync(join(folder, "minimum-reader.json"), "utf8"));
  const migrations = journal.entries.map(({ tag }) => {
    const minimumReader = minimumReaders[tag];
    if (!Number.isInteger(minimumReader)) {
      throw new TypeError(
        `expected migrations/minimum-reader.json to give ${tag} the lowest schema version that can use it`,
      );
    }
    const sql = readFileSync(join(folder, `${tag}.sql`), "utf8");
    const statements = sql.split("--> statement-breakpoint").map((statement) => statement.trim().replace(/;$/, ""));
    return { name: tag, minimumReader, statements };
  });
  return [
    "// Generated from migrations/ by scripts/compile-migrations.mjs: run `npm run db:generate`, don't edit.",
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

function literal(statement) {
  if (!statement.includes("\n") && !statement.includes('"')) return JSON.stringify(statement);
  return `\`${statement.replace(/[\\`]|\$\{/g, "\\$&")}\``;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [packageFolder, check] = process.argv.slice(2);
  const file = join(packageFolder, "src/checkpoints/migrations.ts");
  const text = compileMigrations(packageFolder);
  const current = existsSync(file) && readFileSync(file, "utf8") === text;
  if (check === "--check" && !current) {
    console.error(`${file} is out of date with migrations/: run npm run db:generate`);
    process.exitCode = 1;
  } else if (!current) {
    writeFileSync(file, text);
    console.log(`wrote ${file}`);
  }
}
