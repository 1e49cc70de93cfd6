import type { Setting } from "@waymark/core/kit";
import { and, eq, or, type SQL, sql } from "drizzle-orm";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { Runner } from "./expressions.ts";
import type { SettingsTable, Tables } from "./schema.ts";

/** Statements of the settings, and the guard of a change that expects some. */
export class CheckpointSettings {
  readonly #db: PostgresJsDatabase;
  readonly #settings: SettingsTable;

  constructor(db: PostgresJsDatabase, { settings }: Tables) {
    this.#db = db;
    this.#settings = settings;
  }

  async read(name: string): Promise<string | null> {
    const { name: nameOf, value } = this.#settings;
    const [setting] = await this.#db.select({ value }).from(this.#settings).where(eq(nameOf, name));
    return setting?.value ?? null;
  }

  async replace(name: string, from: string | null, to: string): Promise<boolean> {
    const { count } =
      from === null
        ? await this.#db.insert(this.#settings).values({ name, value: to }).onConflictDoNothing()
        : await this.#db
            .update(this.#settings)
            .set({ value: to })
            .where(this.#isSetting({ name, value: from }));
    return count === 1;
  }

  /** Returns whether all settings are as expected, and locks them until the transaction ends. */
  async areAsExpected(runner: Runner, expected: readonly Setting[]): Promise<boolean> {
    if (expected.length === 0) return true;
    return (await runner.execute(this.selectExpected(expected))).length === expected.length;
  }

  /** Selects those that are as expected. FOR KEY SHARE would not do: it lets others change the value. */
  selectExpected(expected: readonly Setting[]): SQL {
    const areExpected = or(...expected.map((setting) => this.#isSetting(setting)));
    return sql`select 1 from ${this.#settings} where ${areExpected} for share`;
  }

  #isSetting({ name, value }: Setting): SQL | undefined {
    return and(eq(this.#settings.name, name), eq(this.#settings.value, value));
  }
}
