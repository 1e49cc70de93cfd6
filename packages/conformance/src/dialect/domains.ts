import { setImmediate as turn } from "node:timers/promises";
import type { Database, Dialect, DomainSchema } from "@waymark/core/kit";
import { describe, expect, it, onTestFinished } from "vitest";
import { newRow, readBases, signal } from "./rows.ts";

/** Describes a backend that can keep several domains (checkpoints, and another one) on one connection. */
export interface DomainTarget {
  /** For the test report. */
  readonly name: string;
  /** Quotation mark around names in the migrations of this backend. */
  readonly quote: '"' | "`";
  /** Makes a new, empty database. Called by each test. */
  create(): Promise<DomainDatabase>;
}

export interface DomainDatabase {
  /** Makes one connection that checkpoints and a second domain share, each with a table prefix. Nothing is opened yet. */
  share(second: DomainSchema, prefixes: { readonly checkpoints: string; readonly second: string }): SharedDomains;
  /** Releases the database. Called last. */
  dispose(): Promise<void>;
}

export interface SharedDomains {
  readonly checkpoints: Dialect;
  readonly second: Database;
  /** Returns whether the connection that both share is open. */
  isConnected(): Promise<boolean>;
}

/**
 * A domain that has nothing to do with checkpoints, though its migration has a name that theirs have too. A column begins as its
 * tables do: no prefix is put before that.
 */
function notes(quote: string): DomainSchema {
  const name = (text: string) => `${quote}${text}${quote}`;
  const statements = [
    `CREATE TABLE ${name("notes")} (${name("id")} integer PRIMARY KEY NOT NULL, ${name("note_words")} integer NOT NULL)`,
    `CREATE INDEX ${name("notes_by_words")} ON ${name("notes")} (${name("note_words")})`,
  ];
  return {
    history: "note_migrations",
    stem: "note",
    tables: [{ name: "notes", columns: ["id", "note_words"] }],
    migrations: [{ name: "0000_initial", minimumReader: 1, statements }],
  };
}

/** Registers the tests of two domains on one connection: each has a schema, a history and a life of its own. */
export function describeDomains(target: DomainTarget): void {
  const schema = notes(target.quote);
  const names = schema.migrations.map(({ name }) => name);

  describe.each([
    ["the same prefix", { checkpoints: "p_", second: "p_" }],
    ["prefixes of their own", { checkpoints: "one_", second: "two_" }],
  ])(`${target.name}: two domains on one connection, with %s`, (_, prefixes) => {
    async function share(): Promise<SharedDomains> {
      const database = await target.create();
      onTestFinished(() => database.dispose());
      const domains = database.share(schema, prefixes);
      onTestFinished(async () => void (await Promise.all([domains.checkpoints.close(), domains.second.close()])));
      return domains;
    }

    it("migrate their own schemas, and take no migration of the other for one of theirs", async () => {
      const { checkpoints, second } = await share();
      const sql = async (database: Database) => (await database.migrate("sql", signal)).join("\n");
      const [ofCheckpoints, ofSecond] = [await sql(checkpoints), await sql(second)];
      expect(ofSecond).toContain(`${prefixes.second}notes`);
      expect(ofSecond).toContain(`${prefixes.second}note_migrations`);
      expect(ofSecond).toContain(`${target.quote}note_words${target.quote}`);
      expect(ofSecond).not.toMatch(/agent_checkpoint|waymark_migrations/);
      expect(ofCheckpoints).toContain(`${prefixes.checkpoints}agent_checkpoints`);
      expect(ofCheckpoints).not.toMatch(/note/);

      expect(await second.migrate("apply", signal)).toEqual(names);
      const missing = checkpoints.migrate("verify", signal);
      await expect(missing).rejects.toMatchObject({
        code: "SCHEMA_OUTDATED",
        message: expect.stringContaining("0000"),
      });
      expect(await sql(checkpoints)).toContain(`${prefixes.checkpoints}agent_checkpoints`);
      const applied = await checkpoints.migrate("apply", signal);
      expect(applied.length).toBeGreaterThan(0);
      for (const domain of [checkpoints, second]) {
        expect(await domain.migrate("verify", signal)).toEqual([]);
        expect(await domain.migrate("sql", signal)).toEqual([]);
        expect(await domain.migrate("apply", signal)).toEqual([]);
      }
    });

    it.each(["second", "checkpoints"] as const)(
      "share the connection, and close it with the last: %s first",
      async (first) => {
        const domains = await share();
        const { checkpoints, second } = domains;
        await Promise.all([checkpoints.open(signal), second.open(signal)]);
        expect(await checkpoints.commit({ insert: [newRow(1)] }, signal)).toBe(true);
        await second.ping(signal);
        expect(await domains.isConnected()).toBe(true);

        await domains[first].close();
        await domains[first].close(); // counts once
        expect(await domains.isConnected()).toBe(true);
        if (first === "second") expect(await readBases(checkpoints)).toEqual({ 1: null });
        else expect(await second.migrate("verify", signal)).toEqual([]);
        const last = first === "second" ? checkpoints : second;
        await last.ping(signal);

        await last.close();
        while (await domains.isConnected()) await turn();
      },
    );
  });
}
