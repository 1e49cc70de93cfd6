import type { CheckpointStorage } from "@waymark/core";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";
import type { ConformanceStore } from "../target.ts";

const TURNS = 1_100;

/** Tests that checkpoints are found by their labels, whatever their agents are. */
export function describeLabels(bench: Bench): void {
  describe("labels across agents", () => {
    let store: ConformanceStore;
    let plain: CheckpointStorage;
    let indexing: CheckpointStorage;
    beforeEach(({ skip }) => skip(bench.target.labels === false, "the dialect has no index of labels"));

    const put = (storage: CheckpointStorage, agentId: string, metadata: object, members = {}) =>
      storage.storeCheckpoint(checkpointOf(agentId, { metadata: { ...metadata }, ...members }));
    const idsOf = async (storage: CheckpointStorage, metadata: object, query = {}) =>
      (await storage.listCheckpoints({ metadata: { ...metadata }, ...query })).map(({ id }) => id);

    /** Before any label is indexed: more than one page of checkpoints of two users. */
    let before: string[];
    beforeAll(async () => {
      if (bench.target.labels === false) return;
      store = await bench.createStore();
      plain = bench.open({}, store);
      const stores = Array.from({ length: TURNS }, (_, turn) =>
        put(plain, `agent ${turn % 7}`, turn % 100 === 0 ? { user: "42", turn } : { other: "42" }),
      );
      before = (await Promise.all(stores)).filter((_, turn) => turn % 100 === 0);
      indexing = bench.open({ indexedLabels: ["user", "status"], indexedNames: ["waits for approval"] }, store);
      // It also indexes in the background. What one of them has done the other leaves out, so only together they look at all.
      const lookedAtAll = new Promise<void>((resolve, reject) => {
        let examined = 0;
        indexing.on("labelsIndexed", (event) => {
          examined += event.examined;
          if (examined >= TURNS) resolve();
        });
        indexing.on("labelIndexingFailed", reject);
      });
      expect(await indexing.indexLabels()).toMatchObject({
        labels: ["user", "status"],
        names: ["waits for approval"],
      });
      await lookedAtAll;
      await plain.listCheckpoints({ metadata: { user: "42" } }); // it reads which labels are indexed, else after some seconds
    });

    it("refuses a label that is not indexed, and says what to do", async () => {
      const metadata = { tenant: "a" };
      const error = await refusal(plain.listCheckpoints({ metadata }), "INVALID_ARGUMENT");
      expect(error.message).toContain(
        'a label that is indexed ("user", "status", name "waits for approval"), or query.agentId beside it, got "tenant": see the options indexedLabels and indexedNames',
      );
      await refusal(plain.listAgents({ metadata }), "INVALID_ARGUMENT");
      await refusal(plain.deleteAgents({ metadata }), "INVALID_ARGUMENT");
      await refusal(plain.listCheckpoints({ metadata: {} }), "INVALID_ARGUMENT");
      await refusal(plain.listCheckpoints({ name: "turn", metadata: { user: "42" } }), "INVALID_ARGUMENT");
      await refusal(plain.deleteAgents({ metadata: { user: "42", status: "x" } }), "INVALID_ARGUMENT");
    });

    it("finds what was there before a label was indexed, by every storage", async () => {
      for (const storage of [indexing, plain, bench.open({ cacheBytes: 0 }, store)]) {
        expect(await idsOf(storage, { user: "42" })).toStrictEqual([...before].reverse());
        expect(await idsOf(storage, { user: 42 })).toStrictEqual([]);
      }
      expect(await idsOf(plain, { turn: 300, user: "42" })).toHaveLength(1); // looked up by the second one
    });

    it("lists what any storage stores from then on, newest first, in pages", async () => {
      const user = "käthe 'or' \n1=1";
      const other = bench.open({}, store);
      const ids: string[] = [];
      for (let turn = 0; turn < 12; turn++) {
        const storage = [indexing, plain, other][turn % 3] as CheckpointStorage;
        ids.push(
          await put(storage, `agent ${turn % 2}`, { user, even: turn % 2 === 0 }, { namespace: turn > 6 ? "sub" : "" }),
        );
        await put(storage, `agent ${turn % 2}`, { user: `${user} ` });
      }
      const newestFirst = ids.reverse();
      expect(await idsOf(plain, { user })).toStrictEqual(newestFirst);
      expect(await idsOf(plain, { user }, { limit: 5 })).toStrictEqual(newestFirst.slice(0, 5));
      expect(await idsOf(plain, { user }, { before: newestFirst[4], limit: 5 })).toStrictEqual(
        newestFirst.slice(5, 10),
      );
      expect(await idsOf(plain, { user }, { since: newestFirst[2] })).toStrictEqual(newestFirst.slice(0, 2));
      const even = await collect(plain.iterateCheckpoints({ metadata: { user, even: true } }));
      expect(even.map(({ id }) => id)).toStrictEqual(newestFirst.filter((_, at) => at % 2 === 1));
      expect(even[0]).toMatchObject({ agentId: "agent 0", namespace: "sub", metadata: { user, even: true } });
      expect(await plain.listAgents({ metadata: { user } })).toStrictEqual(["agent 0", "agent 1"]);
      expect(await plain.listAgents({ metadata: { user }, after: "agent 0", limit: 1 })).toStrictEqual(["agent 1"]);
      expect(await plain.listAgents({ metadata: { user: "nobody" } })).toStrictEqual([]);
      // The same label, and an agent: by the agent's index.
      expect(await idsOf(plain, { user }, { agentId: "agent 1", limit: 1 })).toStrictEqual([newestFirst[0]]);
    });

    it("indexes large states, ids of the caller's, stores after the latest, and stores of one moment", async () => {
      const user = "many kinds";
      const large = "x".repeat(300_000);
      const old = await put(plain, "kinds", { user }, { id: idAt(5_000) });
      const guarded = await plain.storeCheckpoint(checkpointOf("kinds 2", { metadata: { user } }), { ifLatest: null });
      const others = await Promise.all(
        Array.from({ length: 30 }, (_, at) =>
          put(plain, `kinds ${at}`, { user }, { state: at % 10 === 0 ? large : at }),
        ),
      );
      expect(await idsOf(plain, { user })).toStrictEqual([old, guarded, ...others].sort().reverse());
    });

    it("lists the checkpoints of a name, with and without labels", async () => {
      const name = "waits for approval";
      const ids: string[] = [];
      for (const [at, storage] of [plain, indexing, plain, indexing].entries()) {
        ids.push(await put(storage, `agent ${at}`, at % 2 === 0 ? { team: "a" } : { user: "b" }, { name }));
        await storage.storeCheckpoint(checkpointOf(`agent ${at}`, { name: `${name}!` }));
        ids.push(await storage.storeCheckpoint(checkpointOf(`agent ${at}`, { name })));
      }
      const named = async (query = {}) => (await plain.listCheckpoints({ name, ...query })).map(({ id }) => id);
      const newestFirst = ids.reverse();
      expect(await named()).toStrictEqual(newestFirst);
      expect(await named({ limit: 3, before: newestFirst[1] })).toStrictEqual(newestFirst.slice(2, 5));
      expect(await named({ metadata: { team: "a" } })).toStrictEqual([newestFirst[3], newestFirst[7]]);
      expect(await named({ agentId: "agent 3" })).toStrictEqual(newestFirst.slice(0, 2));
      await plain.deleteAgent("agent 3");
      expect(await named()).toStrictEqual(newestFirst.slice(2));
    });

    it("deletes all agents with a label whole, and no others", async () => {
      const user = "to be erased";
      for (const agentId of ["erased 1", "erased 2", "erased 3"]) {
        await put(plain, agentId, {}, { namespace: "before the label" });
        await put(plain, agentId, { user });
        await put(plain, agentId, { user: "somebody else" });
      }
      await put(plain, "kept", { user: "somebody else" });
      const counts = { agents: 3, checkpoints: 9 };
      const progress: number[] = [];
      expect(await plain.deleteAgents({ metadata: { user }, dryRun: true })).toStrictEqual(counts);
      expect(await idsOf(plain, { user })).toHaveLength(3);
      const onProgress = ({ checkpoints }: { checkpoints: number }) => progress.push(checkpoints);
      expect(await plain.deleteAgents({ metadata: { user }, onProgress })).toStrictEqual(counts);
      expect(progress).toStrictEqual([3, 6, 9]);
      expect(await idsOf(plain, { user })).toStrictEqual([]);
      expect(await plain.listCheckpoints({ agentId: "erased 1" })).toStrictEqual([]);
      expect(await plain.listAgents({ metadata: { user: "somebody else" } })).toStrictEqual(["kept"]);
      expect(await plain.deleteAgents({ metadata: { user } })).toStrictEqual({ agents: 0, checkpoints: 0 });
    });

    it("no longer lists what was deleted or pruned", async () => {
      const user = "comes and goes";
      const ids: string[] = [];
      for (let turn = 0; turn < 4; turn++) ids.push(await put(plain, "goes", { user }));
      await plain.deleteCheckpoint(ids[1] as string);
      expect(await idsOf(plain, { user })).toStrictEqual([ids[3], ids[2], ids[0]]);
      await plain.pruneCheckpoints({ agentId: "goes", keepLast: 1 });
      expect(await idsOf(plain, { user })).toStrictEqual([ids[3]]);
      await plain.deleteAgent("goes");
      expect(await plain.listAgents({ metadata: { user } })).toStrictEqual([]);
    });
  });
}
