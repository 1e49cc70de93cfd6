import { afterAll, assert, beforeAll, describe, expect, it, vi } from "vitest";
import { waymark } from "../src/index.ts";
import { databases, type Kind } from "./databases.ts";
import { Comparison, type RecordedRound, recordRounds } from "./differential/comparison.ts";
import { CHANGED_ARGUMENTS, DIFFERENCES } from "./differential/differences/all.ts";
import { AGENTS } from "./differential/material.ts";
import { makePlan } from "./differential/plan.ts";
import { openReference, type Subject } from "./differential/reference.ts";

// Differential test: the same calls, chosen and random ones, of ElizaOS' own adapter and of ours on each database. Answers are the same, but
// for the differences of `differential/differences`, each of which has to be met.
//
//   WAYMARK_DIFFERENTIAL_SEED=… npx vitest run test/differential.test.ts     the random calls of a failure, which prints its seed
const SEED = process.env["WAYMARK_DIFFERENTIAL_SEED"];
const ROUNDS = process.env["WAYMARK_TEST_ALL"] ? 20 : 1;
const seeds = SEED === undefined ? Array.from({ length: ROUNDS }, (_, at) => at + 1) : [Number(SEED)];

/** Enough for all rounds, on a machine that does something else too. */
const TIMEOUT_MS = 900_000;

/** Methods of our adapter that plugin-sql's has not. */
const OURS_ALONE = [
  ...["getConnectionInfo", "isConnected", "memoriesWithoutVector", "runMigrations", "transaction", "vectorStats"],
  "withEntityContext",
];

/** PGlite is in memory, since its files take longer than all calls. */
const kinds = databases.map((kind): Kind => (kind.name === "PGlite" ? { ...kind, create: createInMemory } : kind));

async function createInMemory() {
  return { options: { pgliteDataDir: "memory://" }, drop: async () => {} };
}

const met = new Set<string>();
let recorded: readonly RecordedRound[];
let ofBoth: readonly string[];

beforeAll(async () => {
  vi.spyOn(process, "emitWarning").mockReturnValue(); // of logs that are dropped, and other vectors: they are meant
  const reference = await openReference(AGENTS);
  recorded = await recordRounds(makePlan(seeds), reference.adapters);
  ofBoth = OURS_ALONE.filter((name) => typeof reference.adapters[0]?.[name] === "function");
  await reference.close();
}, TIMEOUT_MS);

afterAll(() => {
  vi.restoreAllMocks();
});

describe.concurrent.each(kinds)("the answers on $name", ({ name, create }) => {
  it(
    "are those of plugin-sql, but for the documented differences",
    async () => {
      const database = await create();
      const adapters = AGENTS.map((id) => waymark.adapter(database.options, id));
      const comparison = new Comparison(adapters as unknown as readonly Subject[], name);
      try {
        for (const round of recorded) {
          const fault = await comparison.faultIn(round);
          if (fault !== null) assert.fail(fault);
        }
      } finally {
        for (const what of comparison.met) met.add(what);
        for (const adapter of adapters) await adapter.close();
        await database.drop();
      }
    },
    TIMEOUT_MS,
  );
});

describe("the calls", () => {
  it("are of all methods that plugin-sql has too", async () => {
    expect(ofBoth).toEqual([]);
    const adapter = waymark.adapter({ url: "sqlite::memory:" }, AGENTS[0]);
    await adapter.close();
    const called = new Set(recorded.flatMap(({ calls }) => calls.map(({ method }) => method)));
    const others = Object.keys(adapter).filter((name) => !called.has(name));
    expect(others.sort()).toEqual(OURS_ALONE);
  });

  it("meet each documented difference", () => {
    const required = DIFFERENCES.filter(({ maybeOn }) => maybeOn === undefined);
    const all = [CHANGED_ARGUMENTS, ...required].map(({ what }) => what);
    expect(all.filter((what) => !met.has(what))).toEqual([]);
  });
});
