import type { Fault, Records } from "@waymark/core/kit";
import { ITEMS, type ItemRow, type MemoryDialect } from "@waymark/core/memory/kit";
import { afterAll, beforeAll, expect } from "vitest";
import { type Corpus, insertCorpus } from "./corpus.ts";
import { signal } from "./rows.ts";
import type { MemoryDatabase, MemoryTarget } from "./target.ts";

/** Numbers of spaces begin here: no integer of 32 bits, nor a float32, can hold one. */
const FIRST_SPACE = 2 ** 53 - 1_000_001;

/**
 * The bench of one suite: a database that all its tests share, since making one takes longer than most of them. Nothing is cleaned
 * up between tests: each one uses spaces and owners of its own. Makes and removes it before and after the tests of the `describe` that it
 * is made in.
 */
export class MemoryBench {
  readonly target: MemoryTarget;
  readonly #dialects: MemoryDialect[] = [];
  #database: MemoryDatabase | undefined;
  #spaces = FIRST_SPACE;
  #corpus: Promise<Corpus> | undefined;

  constructor(target: MemoryTarget) {
    this.target = target;
    beforeAll(async () => {
      this.#database = await target.create();
      await this.open();
    });
    afterAll(async () => {
      await Promise.all(this.#dialects.map((dialect) => dialect.close()));
      await this.#database?.dispose();
    });
  }

  /** The dialect that most tests share. */
  get dialect(): MemoryDialect {
    const [dialect] = this.#dialects;
    expect(dialect, "the dialect, which beforeAll opens").toBeDefined();
    return dialect as MemoryDialect;
  }

  get records(): Records {
    return this.dialect.records;
  }

  /** Opens another client of the database. */
  async open(): Promise<MemoryDialect> {
    const dialect = (this.#database as MemoryDatabase).createDialect({});
    this.#dialects.push(dialect);
    await dialect.open(signal);
    return dialect;
  }

  /** Opens so many clients. */
  async openAll(count: number): Promise<MemoryDialect[]> {
    return await Promise.all(Array.from({ length: count }, () => this.open()));
  }

  /** Reads all items of a space, in order. */
  async readItems(space: number): Promise<ItemRow[]> {
    return await this.records.find(ITEMS, { where: { space }, order: [["number", "asc"]], limit: 10_000 }, signal);
  }

  /** Lists the numbers of a space's items, in order. */
  async listNumbers(space: number): Promise<number[]> {
    const query = { where: { space }, columns: ["number"], order: [["number", "asc"]], limit: 10_000 } as const;
    return (await this.records.find(ITEMS, query, signal)).map(({ number }) => number);
  }

  /** Returns the meaning of the error that a call rejects with; `null`: it does not. */
  async faultOf(call: Promise<unknown>): Promise<Fault | null> {
    return await call.then(
      () => null,
      (error: unknown) => this.dialect.classify(error),
    );
  }

  /** Returns a space with many items. Inserted once; tests only read it. */
  corpus(): Promise<Corpus> {
    this.#corpus ??= insertCorpus(this.records, this.newSpace());
    return this.#corpus;
  }

  /** Returns the number of a space that no other test uses. */
  newSpace(): number {
    this.#spaces += 1;
    return this.#spaces;
  }

  /** Returns an owner that no other test uses. */
  newOwner(): string {
    return `owner ${this.newSpace()}`;
  }
}
