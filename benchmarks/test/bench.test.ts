import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deepFreeze, generateConversation, growFrozen, growLive, stateAfter } from "../src/conversation.ts";
import { parseOptions } from "../src/options.ts";
import { printed } from "../src/print.ts";
import { type Report, readReports, writeReport } from "../src/report.ts";
import { measure } from "../src/run.ts";
import type { ConversationFigures } from "../src/workloads/conversation.ts";

// No test here looks at a time: what is tested is that the benchmark runs, and compares what it reads with what was stored.

describe("the benchmark of a growing conversation on SQLite", () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-bench-test-"));
  let report: Report;

  beforeAll(async () => {
    const args = ["--quick", "--workload", "A", "--database", "sqlite-full", "--turns", "20", "--out", folder];
    const options = parseOptions(args, folder);
    if (options === "help") throw new Error("expected options, got help");
    for await (const { report: one, charts } of measure(options, () => {})) writeReport(folder, one, charts);
    report = readReports(folder)[0] as Report;
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("runs every system to its end", () => {
    expect(report.failures).toEqual([]);
    expect(report.absent).toEqual([]);
  });

  it("says of each system how long it took, how much it wrote, and that all states came back equal", () => {
    const [{ systems, turns }] = report.results as [ConversationFigures];
    expect(turns).toBe(20);
    expect(systems.map(({ id }) => id)).toEqual([
      "raw",
      "drizzle",
      "langgraph",
      "langgraph-delta",
      "mastra",
      "waymark",
      "waymark-frozen",
      "floor",
    ]);
    for (const { id, total, bytes, compared } of systems) {
      expect(total, id).toBeGreaterThan(0);
      expect(bytes, id).toBeGreaterThan(0);
      expect(compared, id).toBe(id === "floor" ? 0 : 95);
    }
  });

  it("says how durable the stores were, and of which versions", () => {
    expect(report.database).toMatchObject({ name: "sqlite-full", isDurable: true });
    expect(report.versions["@waymark/core"]).toMatch(/^\d+\.\d+\.\d+/);
  });

  it("writes tables and a chart that has every system", () => {
    const text = printed(report);
    const chart = readFileSync(join(folder, "A-sqlite-full-20.svg"), "utf8");
    for (const name of ["raw driver, whole JSON", "Drizzle", "LangGraph saver", "Mastra", "Waymark"]) {
      expect(text).toContain(name);
      expect(chart).toContain(name);
    }
  });
});

describe("the benchmark against another checkout", () => {
  it("measures Waymark from both, and prints the ratio of each figure", async () => {
    const checkout = fileURLToPath(new URL("../..", import.meta.url));
    const chosen = ["--workload", "A,B,langgraph", "--systems", "waymark,waymark-frozen", "--turns", "10"];
    const options = parseOptions(["--quick", "--database", "sqlite-full", ...chosen, "--against", checkout], "");
    if (options === "help") throw new Error("expected options, got help");
    const rows: (readonly string[])[] = [];
    for await (const { report } of measure(options, () => {})) {
      expect(report.failures).toEqual([]);
      rows.push(...(report.tables.at(-1)?.rows ?? []));
    }
    expect(rows).toHaveLength(2 * 10 + 2 * 2 + 4);
    for (const [name, ...figures] of rows) expect(figures.join(), name).toMatch(/^[0-9.,]+ to [0-9.]+$/);
  });
});

// It takes as long as a minute of deadlines, and test/faults asks the same of a main with a backup.
describe.runIf(process.env["WAYMARK_TEST_ALL"])("the benchmark of a main with a backup on SQLite", () => {
  it("loses nothing, with the backup there and not there", async () => {
    const options = parseOptions(["--quick", "--workload", "backup", "--database", "sqlite-full", "--turns", "4"], "");
    if (options === "help") throw new Error("expected options, got help");
    const reports: Report[] = [];
    for await (const { report } of measure(options, () => {})) reports.push(report);
    // The program of the backlog is there only as it is built.
    const failures = reports.flatMap((report) => report.failures.filter(({ system }) => system !== "backlog"));
    expect(failures).toEqual([]);
    const { stores } = (reports[0] as Report).results as { stores: { id: string }[] };
    expect(new Set(stores.map(({ id }) => id)).size).toBe(7);
  }, 120_000);
});

describe("the generated conversation", () => {
  const conversation = generateConversation(10);

  it("is the same every time, and another one for another seed", () => {
    expect(generateConversation(10)).toEqual(conversation);
    expect(generateConversation(10, 2)).not.toEqual(conversation);
  });

  it("has 1.7 kB of JSON a turn", () => {
    for (const turn of conversation.turns) {
      const { length } = JSON.stringify(turn);
      expect(length).toBeGreaterThan(1_690);
      expect(length).toBeLessThan(1_710);
    }
  });

  it("grows to the same states live and frozen", () => {
    for (const grow of [growLive, growFrozen]) {
      const states = [...grow(conversation)].map(({ state }) => structuredClone(state));
      expect(states.at(-1)).toEqual(stateAfter(conversation, 10));
    }
  });

  it("freezes nothing of a live state, and all of a frozen one", () => {
    const [live] = growLive(conversation);
    expect(Object.isFrozen(live?.state.messages[0])).toBe(false);
    const [frozen] = growFrozen(conversation);
    expect(() => deepFreeze(frozen?.state)).not.toThrow();
    expect(Object.isFrozen(frozen?.state.messages[1])).toBe(true);
  });
});

describe("the options of the benchmark", () => {
  it("names the option that it does not understand", () => {
    expect(() => parseOptions(["--database", "oracle"], "")).toThrow(/--database/);
    expect(() => parseOptions(["--turns", "-1"], "")).toThrow(/turns/);
    expect(() => parseOptions(["--against", tmpdir()], "")).toThrow(
      /--against.*checkout.*has no .*core.dist.index\.js/,
    );
  });

  it("takes `sqlite` for both of its settings", () => {
    expect(parseOptions(["--database", "sqlite"], "")).toMatchObject({ databases: ["sqlite-full", "sqlite-normal"] });
  });
});
