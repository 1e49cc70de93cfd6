import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { property } from "@waymark/core/kit";
import type { Database } from "better-sqlite3";
import { CannotRun, type Driver, type DriverDatabase, type Statement } from "./driver.ts";

/**
 * Databases and statements that must not become garbage while the process lives. Since Node 24.19, better-sqlite3 12 ends the process when the
 * collector meets one of its objects while no JavaScript runs (https://github.com/WiseLibs/better-sqlite3/issues/1515);
 * version 13 does not. So each opened database costs a few kilobytes for ever there, and each text is prepared once, however often it
 * is asked for. Our SQL texts are few: lists in them have lengths that are powers of two, and there is no `pragma()`, which prepares
 * anew each time.
 */
const KEEP = Number.parseInt(process.versions.node, 10) >= 24;
const kept = new Set<object>();

export const betterSqlite3: Driver = {
  name: "better-sqlite3",

  async load({ nativeBinding }) {
    refuseCrash();
    const BetterSqlite3 = await importDriver();
    const options = nativeBinding === null ? {} : { nativeBinding };
    try {
      // The native part is loaded with the first database, whose own errors are another matter.
      wrap(new BetterSqlite3(":memory:", options)).close();
    } catch (error) {
      throw nativePartFails(error);
    }
    return (path) => wrap(new BetterSqlite3(path, options));
  },

  adopt: (database) => (typeof property(database, "pragma") === "function" ? wrap(database as Database) : null),
};

function wrap(database: Database): DriverDatabase {
  const keptStatements = new Map<string, Statement>();
  if (KEEP) kept.add(database).add(keptStatements);
  return {
    driver: "better-sqlite3",
    prepare(sql) {
      const statement = keptStatements.get(sql) ?? database.prepare<unknown[]>(sql);
      if (KEEP) keptStatements.set(sql, statement);
      return statement;
    },
    exec: (sql) => void database.exec(sql),
    loadExtension: (path) => void database.loadExtension(path),
    isOpen: () => database.open,
    inTransaction: () => database.inTransaction,
    close: () => void database.close(),
  };
}

/** Refuses a version that would end the process, before it is loaded. */
function refuseCrash(): void {
  const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
  const version = installedVersion();
  if (version >= 13 && (major < 22 || (major === 22 && minor < 14))) {
    throw new CannotRun(
      `version ${version} crashes on Node ${process.versions.node}`,
      "install better-sqlite3@12, or run Node 22.14 or later",
    );
  }
}

async function importDriver() {
  try {
    const { default: BetterSqlite3 } = await import("better-sqlite3");
    return BetterSqlite3;
  } catch (error) {
    throw new CannotRun("it is not installed", "npm install better-sqlite3", { cause: error });
  }
}

/** Package managers may leave out the script that fetches or compiles the native part, or it was made for another Node. */
function nativePartFails(error: unknown): CannotRun {
  const isOfAnother = /NODE_MODULE_VERSION|ERR_DLOPEN_FAILED/.test(
    `${property(error, "code")} ${property(error, "message")}`,
  );
  const reason = isOfAnother
    ? `its native part does not load on this ${runtime()}: it was made for another version or platform`
    : "its native part is missing: the package manager has not run its install script";
  return new CannotRun(
    reason,
    "npm rebuild better-sqlite3 (pnpm: pnpm approve-builds, then pnpm rebuild better-sqlite3)",
    {
      cause: error,
    },
  );
}

function runtime(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>;
  return bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
}

/** The installed driver's major version; 0 in a bundle, where it is the one that the bundle was made with. */
function installedVersion(): number {
  try {
    const manifest = createRequire(import.meta.url).resolve("better-sqlite3/package.json");
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
    return Number.parseInt(version, 10);
  } catch {
    return 0;
  }
}
