import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { sqlite } from "./databases.ts";
import { type MemoryKind, memories, memoryOf } from "./memories.ts";

// Redirects the package's own imports to the minimum version.
vi.mock("@langchain/langgraph-checkpoint", () => import("langgraph-checkpoint-min"));

const place = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const packageOf = (path: string): { version: string; peerDependencies: unknown } =>
  JSON.parse(readFileSync(place(path), "utf8"));

describe("the range of peer dependencies", () => {
  it("starts at the versions that are tested as the minimum", () => {
    const { peerDependencies } = packageOf("../package.json");
    const minimum = (name: string) => packageOf(`../node_modules/${name}/package.json`).version;
    expect(peerDependencies).toEqual({
      "@langchain/core": `^${minimum("langchain-core-min")}`,
      "@langchain/langgraph-checkpoint": `>=${minimum("langgraph-checkpoint-min")} <2`,
    });
  });

  it.each([
    ["with the current versions", "current"],
    ["with the minimum versions", "minimum"],
    ["in CommonJS, as published", "common-js"],
  ])("compiles in a strict project, %s", async (_, project) => {
    const tsc = place("../node_modules/typescript/bin/tsc");
    const compiling = promisify(execFile)(process.execPath, [tsc, "-p", place(`types/${project}.json`)]);
    await expect(compiling.catch(({ stdout }: { stdout: string }) => ({ stdout }))).resolves.toMatchObject({
      stdout: "",
    });
  });
});

describe("with the minimum version", () => {
  it("stores, lists, and rebuilds delta channels", async () => {
    const framework = await import("langgraph-checkpoint-min");
    const { WaymarkSaver } = await import("@waymark/langgraph");
    const database = await sqlite.create();
    try {
      const saver = new WaymarkSaver(database.open());
      expect(saver).toBeInstanceOf(framework.BaseCheckpointSaver);
      expect("compareWritesSortKeys" in framework).toBe(false); // or the installed version is not the minimum
      const metadata = { source: "loop", step: 0, parents: {} } as const;
      const put = async (config: object, id: string, values: Record<string, unknown>) =>
        await saver.put(
          config,
          { ...framework.emptyCheckpoint(), id, channel_values: values, channel_versions: {} },
          metadata,
          Object.fromEntries(Object.keys(values).map((channel) => [channel, 1])),
        );
      const root = await put({ configurable: { thread_id: "1" } }, framework.uuid6(-1), {
        items: new framework.DeltaSnapshot(["a"]),
      });
      await saver.putWrites(root, [["items", ["b"]]], "task", "~path");
      const next = await put(root, framework.uuid6(0), {});
      const history = await saver.getDeltaChannelHistory({ config: next, channels: ["items"] });
      expect(history).toEqual({
        items: { seed: new framework.DeltaSnapshot(["a"]), writes: [["task", "items", ["b"]]] },
      });
      const ids: unknown[] = [];
      for await (const { config } of saver.list({ configurable: { thread_id: "1" } })) ids.push(config);
      expect(ids).toEqual([next, root]);
      await saver.deleteThread("1");
      expect(await saver.getTuple(root)).toBeUndefined();
    } finally {
      await database.drop();
    }
  });

  it("remembers, with its own classes and errors", async () => {
    const framework = await import("langgraph-checkpoint-min");
    const { WaymarkStore } = await import("@waymark/langgraph");
    const [kind] = memories as [MemoryKind];
    const store = new WaymarkStore({ memory: (await memoryOf(kind)).open() });
    expect(store).toBeInstanceOf(framework.BaseStore);
    expect("validateNamespace" in framework).toBe(false); // or the installed version is not the minimum
    await store.put(["users", "1"], "k", { text: "likes tea" });
    expect(await store.get(["users", "1"], "k")).toMatchObject({ value: { text: "likes tea" } });
    expect(await store.search(["users"], { query: "tea" })).toHaveLength(1);
    expect(await store.listNamespaces({ prefix: ["users"] })).toEqual([["users", "1"]]);
    await store.delete(["users", "1"], "k");
    expect(await store.search(["users"])).toEqual([]);
    await expect(store.put(["a:b"], "k", {})).rejects.toThrow(framework.InvalidNamespaceError);
  });
});
