import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { type OpenRecordsOptions, openRecordStore } from "../../src/config/open-records.ts";
import type { DomainSchema } from "../../src/database/migrations.ts";
import { CANARY, folder, install, useFolder, write } from "./program-folder.ts";

useFolder();

const schema: DomainSchema = { history: "own_migrations", stem: "own_", tables: [], migrations: [] };
const ALL = { sqlite: schema, postgres: schema, mysql: schema };

/** Adds a module `records` to an installed package. `body`: what its factory does with options and a schema. */
function installRecords(type: string, body = "return { options, schema }"): void {
  install(type);
  const at = `node_modules/@waymark/${type}`;
  const exported = { ".": "./index.js", "./records": "./records.js" };
  write(`${at}/package.json`, { name: `@waymark/${type}`, type: "module", exports: exported });
  write(`${at}/records.js`, `export function createRecords(options, schema) { ${body} }`);
}

/** Installs a package whose factory refuses its options. */
function installRefusing(type: string, message: string): void {
  const members = `{ code: "INVALID_ARGUMENT", [Symbol.for("waymark.CheckpointError")]: true }`;
  installRecords(type, `throw Object.assign(new Error(${JSON.stringify(message)}), ${members})`);
}

const source = "open notes";

/** Opens, and returns what the installed factory was called with. */
async function open(given: Partial<OpenRecordsOptions>) {
  const options = { source, field: "options.url", optionsField: "options.database", schemas: ALL, cwd: folder };
  return (await openRecordStore({ ...options, ...given })) as unknown as { options: object; schema: DomainSchema };
}

async function refusal(given: Partial<OpenRecordsOptions>): Promise<string> {
  const error = await open(given).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: "CheckpointError", code: "INVALID_CONFIG" });
  expect(inspect(error, { showHidden: true, depth: 20 })).not.toContain(CANARY);
  return (error as Error).message;
}

describe("tables of another package", () => {
  test("are opened by the package of a URL's scheme, with the schema for it", async () => {
    installRecords("postgres");
    const schemas = { ...ALL, postgres: { ...schema, stem: "mine_" } };
    const url = "postgres://localhost/app";
    const opened = await open({ url, schemas, options: { poolSize: 2, connectionString: "other" } });
    expect(opened).toEqual({ options: { poolSize: 2, connectionString: url }, schema: schemas.postgres });
  });

  test("are in a file or a folder below the given one", async () => {
    for (const type of ["sqlite", "postgres"]) installRecords(type);
    const file = await open({ url: "sqlite:./a.db" });
    expect(file.options).toEqual({ databasePath: join(folder, "a.db") });
    const pglite = await open({ pgliteDataDir: "./data", options: { schema: "s" } });
    expect(pglite.options).toEqual({ schema: "s", pgliteDataDir: join(folder, "data") });
  });

  test("are refused where the dialect's package has no such module, or is not installed", async () => {
    install("sqlite");
    expect(await refusal({ url: "sqlite:./a.db" })).toBe(
      `${source}: options.url: the package @waymark/sqlite keeps no tables of other packages`,
    );
    const own = { url: `own://u:${CANARY}@h/d`, schemas: { "waymark-own": schema } };
    expect(await refusal(own)).toContain("options.url: the package waymark-own is not installed");
  });
});

describe("an option that a dialect refuses", () => {
  const url = `postgres://u:${CANARY}@h/d`;

  test.each<[says: string, field: string, named: string]>([
    ["expected options.connectionString to have no #", "options.url", "expected options.url to have no #"],
    [
      "the parameter a of options.connectionString is unknown",
      "POSTGRES_URL",
      "the parameter a of POSTGRES_URL is unknown",
    ],
    ["expected options.poolSize to be a number", "options.url", "expected options.database.poolSize to be a number"],
    ["expected options.retry.maxRetries to be 1", "POSTGRES_URL", "expected options.database.retry.maxRetries to be 1"],
    ["expected options to have poolSize", "options.url", "expected options.database to have poolSize"],
    [
      "expected options.connectionString to be x",
      "options.connectionString",
      "expected options.connectionString to be x",
    ],
    ["something else", "POSTGRES_URL", "POSTGRES_URL: something else"],
  ])("is named where it was given: %s, of %s", async (says, field, named) => {
    installRefusing("postgres", says);
    expect(await refusal({ url, field, options: { poolSize: 0, retry: {} } })).toBe(`${source}: ${named}`);
  });

  test("is named where it was given, if a folder or a file is", async () => {
    installRefusing("postgres", "expected options.pgliteDataDir to be a folder");
    installRefusing("sqlite", "expected options.databasePath to be a file");
    const options = { tablePrefix: "x" };
    expect(await refusal({ pgliteDataDir: "./data", field: "PGLITE_DATA_DIR", options })).toBe(
      `${source}: expected PGLITE_DATA_DIR to be a folder`,
    );
    expect(await refusal({ url: "sqlite:./a.db", options })).toBe(`${source}: expected options.url to be a file`);
  });

  test("keeps its name without another place for options", async () => {
    installRefusing("postgres", "expected options.poolSize to be a number");
    expect(await refusal({ url, optionsField: undefined as never, options: { poolSize: 0 } })).toBe(
      `${source}: expected options.poolSize to be a number`,
    );
  });
});

describe("a URL of no known database", () => {
  const schemes = "postgres:, postgresql:, mysql:, mariadb:, file:, sqlite:";

  test.each<[url: string, got: string]>([
    [`http://u:${CANARY}@h/d`, "http:"],
    [`waymark-oracle://u:${CANARY}@h/d`, "waymark-oracle:"],
    [`${CANARY}:x`, "a string of 16 characters"],
    [CANARY, "a string of 14 characters"],
    ["/var/agents.db", 'the path "/var/agents.db" without file:'],
    ["", "an empty string"],
  ])("is refused with the schemes that are known, and shows no more than its own: %#", async (url, got) => {
    expect(await refusal({ url })).toBe(`${source}: expected options.url to be a URL of ${schemes}, got ${got}`);
  });

  test("is refused with the schemes of those databases that there are schemas for", async () => {
    const schemas = { postgres: schema };
    expect(await refusal({ url: `mysql://u:${CANARY}@h/d`, schemas })).toBe(
      `${source}: expected options.url to be a URL of postgres:, postgresql:, got mysql:`,
    );
    expect(await refusal({ pgliteDataDir: "./data", schemas: { sqlite: schema }, field: "PGLITE_DATA_DIR" })).toBe(
      `${source}: PGLITE_DATA_DIR: expected a database of sqlite, got postgres`,
    );
  });
});
