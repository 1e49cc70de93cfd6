import type { Dialect, Outbox, Settings } from "@waymark/core/kit";
import { expect, onTestFinished } from "vitest";
import { signal } from "./rows.ts";
import type { DialectDatabase, DialectTarget } from "./target.ts";

export type DialectWithOutbox = Dialect & { readonly outbox: Outbox };
export type DialectWithSettings = Dialect & { readonly settings: Settings };

/** Makes databases and dialects for the tests of one target. All of them go when their test is over. */
export class DialectBench {
  readonly target: DialectTarget;

  constructor(target: DialectTarget) {
    this.target = target;
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
    const database = await this.target.create();
    onTestFinished(() => database.dispose());
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
