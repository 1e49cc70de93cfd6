import type { Setting } from "@waymark/core/kit";
import { and, type SQL, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import { classify } from "../errors.ts";
import { equals, IN_SHARE_MODE, type Runner } from "./expressions.ts";
import type { SettingsTable, Tables } from "./schema.ts";

/** Statements of the settings, and the guard of a change that expects some. */
export class CheckpointSettings {
  readonly #db: MySql2Database;
  readonly #settings: SettingsTable;

  constructor(db: MySql2Database, { settings }: Tables) {
    this.#db = db;
    this.#settings = settings;
  }

  async read(name: string): Promise<string | null> {
    const { name: nameOf, value } = this.#settings;
    const [setting] = await this.#db.select({ value }).from(this.#settings).where(equals(nameOf, name));
    return setting?.value ?? null;
  }

  async replace(name: string, from: string | null, to: string): Promise<boolean> {
    if (from === null) return await this.#insert({ name, value: to });
    // mysql2 asks the server to count the rows that match, changed or not.
    const updating = this.#db.update(this.#settings).set({ value: to });
    const [{ affectedRows }] = await updating.where(this.#isSetting({ name, value: from }));
    return affectedRows === 1;
  }

  /** Inserts a setting. `false`: it is there. */
  async #insert(setting: Setting): Promise<boolean> {
    try {
      await this.#db.insert(this.#settings).values(setting);
      return true;
    } catch (error) {
      if (classify(error) === "duplicate") return false;
      throw error;
    }
  }

  /** Returns whether all settings are as expected, and locks them until the transaction ends. */
  async areAsExpected(runner: Runner, expected: readonly Setting[]): Promise<boolean> {
    for (const setting of expected) {
      const [rows] = await runner.execute(this.#countIf(setting));
      const [first] = rows as unknown as { met: number | string }[];
      if (Number(first?.met) !== 1) return false;
    }
    return true;
  }

  /** Returns a condition that holds if all settings are as expected, and then locks them until the transaction ends. */
  allAsExpected(expected: readonly Setting[]): SQL | undefined {
    return and(...expected.map((setting) => sql`(select met from (${this.#countIf(setting)}) as guard) = 1`));
  }

  #countIf(setting: Setting): SQL {
    return sql`select count(*) as met from ${this.#settings} where ${this.#isSetting(setting)} ${IN_SHARE_MODE}`;
  }

  #isSetting({ name, value }: Setting): SQL | undefined {
    return and(equals(this.#settings.name, name), equals(this.#settings.value, value));
  }
}
