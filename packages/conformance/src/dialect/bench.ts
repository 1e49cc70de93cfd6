import type { Dialect, Outbox, Settings } from "@waymark/core/kit";
import { afterAll, expect, onTestFinished } from "vitest";
import { signal } from "./rows.ts";
import type { DialectDatabase, DialectTarget } from "./target.ts";

export type DialectWithOutbox = Dialect & { readonly outbox: Outbox };
export type DialectWithSettings = Dialect & { readonly settings: Settings };

/**
 * Makes databases and dialects for the tests of one target. Dialects go when their test is over, and so do databases that cannot be
 * cleared; the others go after all tests of the `describe` that it is made in.
 */
export class DialectBench {
  readonly target: DialectTarget;
  /** Databases that were cleared, for the next tests. */
  readonly #cleared: DialectDatabase[] = [];

  constructor(target: DialectTarget) {
    this.target = target;
    afterAll(async () => {
      for (const database of this.#cleared) await database.dispose();
    });
  }

  get hasOutbox(): boolean {
    return this.target.outbox ?? true;
  }

  get hasSettings(): boolean {
    return this.target.settings ?? this.hasOutbox;
  }

  get hasLabels(): boolean {
    return this.target.labels ?? this.hasOutbox;
  }

  async createDatabase(): Promise<DialectDatabase> {
    const database = this.#cleared.pop() ?? (await this.target.create());
    onTestFinished(async () => {
      if (database.clear === undefined) return await database.dispose();
      await database.clear();
      this.#cleared.push(database);
    });
    return database;
  }

  /** Opens a dialect on an empty database, or on this one. */
  async open(database?: DialectDatabase): Promise<Dialect> {
    const dialect = (database ?? (await this.createDatabase())).createDialect();
    onTestFinished(() => dialect.close());
    await dialect.open(signal);
    return dialect;
  }

  /** Opens a dialect whose outbox is tested. */
  async openWithOutbox(database?: DialectDatabase): Promise<DialectWithOutbox> {
    const dialect = await this.open(database);
    expect(dialect.outbox, "the dialect's outbox").toBeDefined();
    return dialect as DialectWithOutbox;
  }

  /** Opens a dialect whose settings are tested. */
  async openWithSettings(database?: DialectDatabase): Promise<DialectWithSettings> {
    const dialect = await this.open(database);
    expect(dialect.settings, "the dialect's settings").toBeDefined();
    return dialect as DialectWithSettings;
  }

  async openTwoWithSettings(): Promise<[DialectWithSettings, DialectWithSettings]> {
    const database = await this.createDatabase();
    return [await this.openWithSettings(database), await this.openWithSettings(database)];
  }

  /** Opens two dialects on one database. */
  async openTwo(): Promise<[Dialect, Dialect]> {
    const database = await this.createDatabase();
    return [await this.open(database), await this.open(database)];
  }
}
