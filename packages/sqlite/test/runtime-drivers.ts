import { DRIVER_NAMES, type DriverName } from "../src/drivers/driver.ts";

const named = process.env["WAYMARK_TEST_DRIVERS"];

/** Drivers of this runtime. `WAYMARK_TEST_DRIVERS` leaves out a copy of better-sqlite3 that is compiled for another version of Node. */
export const drivers = DRIVER_NAMES.filter((driver) =>
  named === undefined ? runsHere(driver) : named.split(",").includes(driver),
);

function runsHere(driver: DriverName): boolean {
  if (driver === "better-sqlite3") return !("bun" in process.versions) && !("deno" in process.versions);
  return process.getBuiltinModule(driver) !== undefined;
}

/** A database that a user has opened: what all drivers have in common. */
export interface OwnDatabase {
  prepare(sql: string): {
    get(...values: unknown[]): unknown;
    all(...values: unknown[]): unknown[];
    run(...values: unknown[]): unknown;
  };
  exec(sql: string): unknown;
  close(): void;
}

/** Opens a file by the driver itself, as a user does. */
export async function openOwn(driver: DriverName, path: string): Promise<OwnDatabase> {
  const module: unknown =
    driver === "better-sqlite3" ? (await import(driver)).default : process.getBuiltinModule(driver);
  const { DatabaseSync, Database = DatabaseSync ?? module } = module as Record<
    string,
    new (
      path: string,
    ) => OwnDatabase
  >;
  const database = new (Database as new (path: string) => OwnDatabase)(path);
  database.exec("pragma foreign_keys = ON");
  return database;
}
