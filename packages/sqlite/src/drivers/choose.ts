import { CheckpointError } from "@waymark/core";
import { keepWords, property, withoutValues } from "@waymark/core/kit";
import { betterSqlite3 } from "./better-sqlite3.ts";
import { bunSqlite } from "./bun-sqlite.ts";
import {
  CannotRun,
  type Driver,
  type DriverDatabase,
  type DriverName,
  type LoadOptions,
  type OpenFile,
} from "./driver.ts";
import { nodeSqlite } from "./node-sqlite.ts";

const DRIVERS: Readonly<Record<DriverName, Driver>> = {
  "better-sqlite3": betterSqlite3,
  "node:sqlite": nodeSqlite,
  "bun:sqlite": bunSqlite,
};

/** Loads the driver of this name, or the first one that runs here. @throws CheckpointError `INVALID_CONFIG`: none does */
export async function loadDriver(name: DriverName | null, options: LoadOptions): Promise<OpenFile> {
  const failures: { readonly driver: DriverName; readonly error: CannotRun }[] = [];
  for (const driver of name === null ? candidates() : [name]) {
    try {
      return await DRIVERS[driver].load(options);
    } catch (error) {
      if (!(error instanceof CannotRun)) throw error;
      failures.push({ driver, error });
    }
  }
  const lines = failures.map(({ driver, error }) => `${driver}: ${error.message}: ${error.advice}`);
  const [first] = failures;
  throw new CheckpointError("INVALID_CONFIG", `open database: no driver of SQLite runs here: ${lines.join("; or ")}`, {
    cause: withoutValues(keepWords(first?.error.cause)),
  });
}

/** Wraps a database that a user has opened; `null`: it is of none of the drivers. */
export function adoptDatabase(database: object): DriverDatabase | null {
  for (const driver of Object.values(DRIVERS)) {
    const adopted = driver.adopt(database);
    if (adopted !== null) return adopted;
  }
  return null;
}

/** The drivers for this runtime, the one to prefer first. */
function candidates(): readonly DriverName[] {
  if (property(process.versions, "bun") !== undefined) return ["bun:sqlite"];
  if (property(process.versions, "deno") !== undefined) return ["node:sqlite"];
  return ["better-sqlite3", "node:sqlite"];
}
