import {
  Annotation,
  type BaseCheckpointSaver,
  emptyCheckpoint,
  MemorySaver,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { uuid6 } from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { SqliteSaver } from "@langchain/langgraph-checkpoint-sqlite";
import { WaymarkSaver } from "@waymark/langgraph";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import { databases, sqlite, type TestDatabase } from "./databases.ts";
import {
  type Case,
  cases,
  hasBranches,
  hasRepeatedAnswers,
  mapTuples,
  needsOrderOfWrites,
  record,
  withoutDefaults,
  withoutOrderOfWrites,
} from "./recorded-runs.ts";

// Differential test: graphs, and operations on them, are generated. Everything observable must be the same with every saver.
// The reference is LangGraph's own MemorySaver.
//
//   WAYMARK_DIFFERENTIAL_RUNS=50 npx vitest run test/differential.test.ts     fifty times as many
//   WAYMARK_DIFFERENTIAL_SEED=…                                               those of a failure, which prints its seed
const FACTOR = Number(process.env["WAYMARK_DIFFERENTIAL_RUNS"] ?? (process.env["WAYMARK_TEST_ALL"] ? 1 : 0.5));
const SEED = process.env["WAYMARK_DIFFERENTIAL_SEED"] ?? "20261121";
/** Time for a test to find and shrink failures; the cases left then are skipped. */
const TIME_LIMIT = 120_000 * FACTOR;

interface Comparison {
  readonly runs: number;
  /** Opens a saver without the memory of another one. */
  readonly open: () => BaseCheckpointSaver;
  readonly of?: fc.Arbitrary<Case>;
  /** Reduces a record to the part that is compared. */
  readonly view?: (record: unknown) => unknown;
}

async function expectSame({ runs, open, of = cases, view = (record) => record }: Comparison): Promise<void> {
  await fc.assert(
    fc.asyncProperty(of, async (plan) => {
      const memory = new MemorySaver();
      const expected = await record(plan, () => memory);
      expect(view(await record(plan, open))).toEqual(view(expected));
    }),
    {
      numRuns: Math.ceil(runs * FACTOR),
      interruptAfterTimeLimit: TIME_LIMIT,
      timeout: 30_000, // so that a case that never ends is reported
      seed: Number(SEED),
    },
  );
}

/** A MemorySaver with random delays. */
function slow(): BaseCheckpointSaver {
  const saver = new MemorySaver();
  for (const method of ["getTuple", "put", "putWrites"] as const) {
    const original = saver[method].bind(saver) as (...args: unknown[]) => Promise<never>;
    saver[method] = async (...args: unknown[]) => {
      const result = await original(...args);
      for (let turns = Math.random() * 4; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      return result;
    };
  }
  return saver;
}

describe.each(databases.map((kind) => [kind.name, kind] as const))(
  "a generated graph, with a WaymarkSaver on %s",
  (name, kind) => {
    let database: TestDatabase;
    beforeAll(async () => {
      database = await kind.create();
    });
    afterAll(() => database.drop());

    it("behaves as with a MemorySaver", { timeout: 2 * TIME_LIMIT }, async () => {
      const storage = database.open();
      await expectSame({ runs: name === sqlite.name ? 60 : 15, open: () => new WaymarkSaver(storage) });
    });
  },
);

const postgres = inject("waymarkServers").postgres;
/** One of LangGraph's own savers, and its close function. */
type Own = readonly [saver: SqliteSaver | PostgresSaver, close: () => Promise<void>];

async function onSqlite(): Promise<Own> {
  const saver = SqliteSaver.fromConnString(":memory:");
  return [saver, async () => void saver.db.close()];
}

async function onPostgres(): Promise<Own> {
  const database = await createDatabase(postgres?.url ?? "");
  const saver = PostgresSaver.fromConnString(database.url);
  await saver.setup();
  const close = async () => {
    await saver.end();
    await database.drop();
  };
  return [saver, close];
}

describe("a generated graph", () => {
  it("behaves the same however long the saver takes", { timeout: 2 * TIME_LIMIT }, async () => {
    // Otherwise a difference of two records would say nothing about the savers.
    const saver = slow();
    await expectSame({ runs: 40, open: () => saver });
  });

  it("behaves with a SqliteSaver as with a MemorySaver", { timeout: 2 * TIME_LIMIT }, async () => {
    const [saver, close] = await onSqlite();
    await expectSame({
      runs: 20,
      open: () => saver,
      of: cases.filter((plan) => !needsOrderOfWrites(plan) && !hasRepeatedAnswers(plan)),
      view: (recorded) => mapTuples(recorded, withoutOrderOfWrites),
    }).finally(close);
  });

  it.skipIf(!postgres)("behaves with a PostgresSaver as with a MemorySaver", { timeout: 2 * TIME_LIMIT }, async () => {
    const [saver, close] = await onPostgres();
    await expectSame({
      runs: 10,
      open: () => saver,
      of: cases.filter((plan) => !needsOrderOfWrites(plan) && !hasRepeatedAnswers(plan) && !hasBranches(plan)),
      // It stores no channel that was never written.
      view: (recorded) => mapTuples(recorded, (tuple) => withoutDefaults(withoutOrderOfWrites(tuple))),
    }).finally(close);
  });
});

// Reasons to skip some cases above. If one of these tests fails, LangGraph has fixed the difference: skip its cases no longer.
describe.each([
  ["SqliteSaver", onSqlite],
  ...(postgres === undefined ? [] : [["PostgresSaver", onPostgres] as const]),
] as const)("LangGraph's %s, unlike its MemorySaver,", (_, open) => {
  let saver: Own[0];
  let close: Own[1];
  beforeAll(async () => {
    [saver, close] = await open();
  });
  afterAll(() => close());

  const writesOf = async (checkpointer: BaseCheckpointSaver, thread_id: string, tasks: readonly Task[]) => {
    const checkpoint = { ...emptyCheckpoint(), id: uuid6(1) };
    const root = { configurable: { thread_id, checkpoint_ns: "" } };
    const config = await checkpointer.put(root, checkpoint, { source: "input", step: -1, parents: {} }, {});
    for (const [task, path, ...writes] of tasks) await checkpointer.putWrites(config, writes, task, path);
    return (await checkpointer.getTuple(config))?.pendingWrites;
  };

  it("lists writes by task id, not by task path (needsOrderOfWrites)", async () => {
    const tasks: Task[] = [
      ["task b", "path 1", ["items", "first"]],
      ["task a", "path 2", ["items", "second"]],
    ];
    const [first, second] = [
      ["task b", "items", "first"],
      ["task a", "items", "second"],
    ];
    expect(await writesOf(new MemorySaver(), "order", tasks)).toEqual([first, second]);
    expect(await writesOf(saver, "order", tasks)).toEqual([second, first]);
  });

  it("keeps old answers of a task if new ones come with its results (hasRepeatedAnswers)", async () => {
    const tasks: Task[] = [
      ["task", "path", ["__resume__", ["one"]]],
      ["task", "path", ["topic", "cats"], ["__resume__", ["one", "two"]]],
    ];
    const answers = async (checkpointer: BaseCheckpointSaver) =>
      (await writesOf(checkpointer, "answers", tasks))?.find(([, channel]) => channel === "__resume__")?.[2];
    expect(await answers(new MemorySaver())).toEqual(["one", "two"]);
    expect(await answers(saver)).toEqual(["one"]);
  });
});

describe("LangGraph's PostgresSaver, unlike its MemorySaver,", () => {
  it.skipIf(!postgres)("reads another branch's values in a branch (hasBranches)", async () => {
    const [saver, close] = await onPostgres();
    // https://github.com/langchain-ai/langgraphjs/issues/1812: values are found by thread and channel version, and both branches
    // have the same versions. Here the edited branch seems to have run `write` already.
    const ends = async (checkpointer: BaseCheckpointSaver) => {
      const State = Annotation.Root({ topic: Annotation<string>(), text: Annotation<string>() });
      const graph = new StateGraph(State)
        .addNode("write", ({ topic }) => ({ text: `about ${topic}` }))
        .addEdge(START, "write")
        .compile({ checkpointer });
      const thread = { configurable: { thread_id: "branches" } };
      await graph.invoke({ topic: "cats" }, thread);
      const end = (await graph.getState(thread)).config;
      for await (const { next, config } of graph.getStateHistory(thread)) {
        if (next[0] !== "write") continue;
        await graph.invoke(null, await graph.updateState(config, { topic: "dogs" }, START as never));
        break;
      }
      return [(await graph.getState(thread)).values, (await graph.getState(end)).values];
    };
    const cats = { topic: "cats", text: "about cats" };
    const dogs = { topic: "dogs", text: "about dogs" };
    expect(await ends(new MemorySaver())).toEqual([dogs, cats]);
    expect(await ends(saver).finally(close)).toEqual([{ topic: "dogs" }, cats]);
  });
});

/** The id and the path of a task, and what it writes. */
type Task = [task: string, path: string, ...writes: [channel: string, value: unknown][]];
