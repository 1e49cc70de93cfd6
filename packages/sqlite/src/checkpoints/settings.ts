import type { Setting } from "@waymark/core/kit";
import { and, eq, sql } from "drizzle-orm";
import type { DrizzleDatabase } from "../handle.ts";
import { equals } from "./expressions.ts";
import type { Tables } from "./schema.ts";

/** Statements of the settings, and the guard of a change that expects some. */
export class CheckpointSettings {
  // Built once: building their text takes longer than running them.
  readonly #read;
  readonly #insert;
  readonly #update;

  constructor(db: DrizzleDatabase, { settings }: Tables) {
    const isSetting = equals(settings.name, sql.placeholder("name"));
    this.#read = db.select({ value: settings.value }).from(settings).where(isSetting).prepare();
    this.#insert = db
      .insert(settings)
      .values({ name: sql.placeholder("name"), value: sql.placeholder("value") })
      .onConflictDoNothing()
      .prepare();
    this.#update = db
      .update(settings)
      .set({ value: sql`${sql.placeholder("to")}` })
      .where(and(isSetting, eq(settings.value, sql.placeholder("from"))))
      .prepare();
  }

  read(name: string): string | null {
    return this.#read.get({ name })?.value ?? null;
  }

  replace(name: string, from: string | null, to: string): boolean {
    const { changes } = from === null ? this.#insert.run({ name, value: to }) : this.#update.run({ name, from, to });
    return changes === 1;
  }

  /** Returns whether all settings are as expected. No other process changes them within a transaction of ours. */
  areAsExpected(expected: readonly Setting[]): boolean {
    return expected.every(({ name, value }) => this.read(name) === value);
  }
}
