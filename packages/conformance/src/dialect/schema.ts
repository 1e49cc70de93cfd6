import type { Database, DomainSchema } from "@waymark/core/kit";
import { describe, expect, it, onTestFinished } from "vitest";
import { signal } from "./rows.ts";

/** Describes a backend, and the schema of one of its domains, to the suite of schemas. */
export interface SchemaTarget {
  /** For the test report. */
  readonly name: string;
  readonly schema: Omit<DomainSchema, "migrations">;
  /** Makes a new, empty database. Called by each test. */
  create(): Promise<SchemaDatabase>;
}

export interface SchemaDatabase {
  /** Makes the domain on a connection of its own. The suite opens and closes it. */
  open(options: SchemaOptions): Database;
  /** Runs a statement on a connection of its own, and returns its rows: values by the names of their columns. */
  run(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Releases the database. Called last. */
  dispose(): Promise<void>;
}

/** Options of a domain's database. Absent: their defaults. */
export interface SchemaOptions {
  readonly migrate?: "auto" | "verify" | "off";
  readonly tablePrefix?: string;
}

/** Clients that open an empty database at once. */
const CLIENTS = 6;

/** Registers the tests of the schema of any domain, whatever the engine: how it is applied, verified and refused. */
export function describeSchema(target: SchemaTarget): void {
  const { history, tables } = target.schema;

  describe(`${target.name}: its schema`, () => {
    async function create() {
      const database = await target.create();
      onTestFinished(() => database.dispose());
      const make = (options: SchemaOptions = {}): Database => {
        const made = database.open(options);
        onTestFinished(() => made.close());
        return made;
      };
      const readHistory = async () =>
        (await database.run(`select name from ${history} order by name`)).map(({ name }) => String(name));
      return { make, readHistory, run: (statement: string) => database.run(statement) };
    }

    it("is applied once, and has the tables that it names", async () => {
      const { make, readHistory, run } = await create();
      const database = make();
      const names = await database.migrate("apply", signal);
      expect(names.length).toBeGreaterThan(0);
      for (const mode of ["apply", "sql", "verify"] as const) expect(await database.migrate(mode, signal)).toEqual([]);
      expect(await readHistory()).toEqual(names);
      for (const { name } of tables) expect(await run(`select * from ${name}`)).toEqual([]);
    });

    it("is applied once when several clients open an empty database at once", async () => {
      const { make, readHistory } = await create();
      const clients = Array.from({ length: CLIENTS }, () => make());
      await Promise.all(clients.map((client) => client.open(signal)));
      const names = await readHistory();
      expect(new Set(names).size).toBe(names.length);
      expect(await make().migrate("verify", signal)).toEqual([]);
    });

    it("is not applied by `verify`, whose error has the statements to run", async () => {
      const { make, run } = await create();
      const verifying = make({ migrate: "verify" });
      const refused = await verifying.open(signal).then(
        () => null,
        (error: unknown) => error as Readonly<Record<string, unknown>>,
      );
      expect(refused).toMatchObject({ name: "CheckpointError", code: "SCHEMA_OUTDATED", retryable: false });
      const statements = refused?.["sql"] as readonly string[];
      expect(withoutTimes(statements)).toEqual(withoutTimes(await verifying.migrate("sql", signal)));
      for (const { name } of tables) await expect(run(`select * from ${name}`)).rejects.toBeDefined();
      // Another one runs them, here on a connection for each: so without its transaction.
      for (const statement of statements) if (!/^(begin|commit|start)\b/i.test(statement)) await run(statement);
      await verifying.open(signal);
      expect(await verifying.migrate("verify", signal)).toEqual([]);
    });

    it("of a newer version is used as long as that one allows it", async () => {
      const { make, run } = await create();
      const names = await make().migrate("apply", signal);
      const add = (name: string, minimumReader: number) =>
        run(`insert into ${history} values ('${name}', 'digest', ${minimumReader}, 0)`);
      await add("9998_allows_us", names.length);
      for (const migrate of ["auto", "verify"] as const) await make({ migrate }).open(signal);
      await add("9999_does_not", names.length + 1);
      for (const migrate of ["auto", "verify"] as const) {
        await expect(make({ migrate }).open(signal)).rejects.toMatchObject({
          code: "SCHEMA_TOO_NEW",
          message: expect.stringContaining("9999_does_not"),
        });
      }
      await make({ migrate: "off" }).open(signal);
    });

    it("is refused where its history was edited", async () => {
      const { make, run } = await create();
      const [first] = await make().migrate("apply", signal);
      await run(`update ${history} set digest = 'edited'`);
      for (const migrate of ["auto", "verify"] as const) {
        await expect(make({ migrate }).open(signal)).rejects.toMatchObject({
          code: "SCHEMA_MISMATCH",
          message: expect.stringContaining(first as string),
        });
      }
    });

    it("leaves alone a table of its name that it has not made, and is refused there", async () => {
      const { make, run } = await create();
      const name = tables.at(-1)?.name as string;
      await run(`create table ${name} (id integer, words varchar(20))`);
      await run(`insert into ${name} values (1, 'theirs')`);
      await expect(make().open(signal)).rejects.toMatchObject({
        code: "SCHEMA_MISMATCH",
        message: expect.stringContaining(name),
      });
      expect(await run(`select * from ${name}`)).toEqual([{ id: 1, words: "theirs" }]);
      for (const other of tables.slice(0, -1)) await expect(run(`select * from ${other.name}`)).rejects.toBeDefined();
      await make({ tablePrefix: "other_" }).open(signal);
    });

    it("has its prefix before the names of all tables, and is there once for each prefix", async () => {
      const { make, run } = await create();
      for (const tablePrefix of ["one_", "two_"]) await make({ tablePrefix }).open(signal);
      for (const { name } of tables) {
        await expect(run(`select * from ${name}`)).rejects.toBeDefined();
        for (const prefix of ["one_", "two_"]) expect(await run(`select * from ${prefix}${name}`)).toEqual([]);
      }
      await expect(run(`select * from ${history}`)).rejects.toBeDefined();
    });
  });
}

function withoutTimes(statements: readonly string[]): string[] {
  return statements.map((text) => text.replace(/\b\d{13}\b/g, "TIME"));
}
