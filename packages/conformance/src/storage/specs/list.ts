import type { ListQuery } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { idAt } from "../ids.ts";

export function describeList(bench: Bench): void {
  const idsOf = async (query: ListQuery) => (await bench.storage.listCheckpoints(query)).map(({ id }) => id);

  describe("listCheckpoints", () => {
    it("returns all members but the state, newest first", async () => {
      const agentId = newAgent();
      const plain = checkpointOf(agentId, { name: "plain" });
      const full = checkpointOf(agentId, {
        name: "full",
        namespace: "n",
        parentId: idAt(Date.now()),
        metadata: { a: 1, b: null },
      });
      const plainId = await bench.storage.storeCheckpoint(plain);
      const fullId = await bench.storage.storeCheckpoint(full);
      const { state: _, ...plainHead } = plain;
      const { state: __, ...fullHead } = full;
      expect(await bench.storage.listCheckpoints({ agentId })).toStrictEqual([
        { ...fullHead, id: fullId },
        { ...plainHead, id: plainId },
      ]);
    });

    it("returns an empty list for an agent without checkpoints", async () => {
      expect(await bench.storage.listCheckpoints({ agentId: newAgent() })).toStrictEqual([]);
    });

    it("lists the newest checkpoints of all agents without an agentId", async () => {
      const ids: string[] = [];
      for (let turn = 0; turn < 3; turn++) ids.unshift(await bench.storage.storeCheckpoint(checkpointOf(newAgent())));
      expect(await idsOf({ limit: 3 })).toStrictEqual(ids);
      expect((await bench.storage.listCheckpoints()).slice(0, 3).map(({ id }) => id)).toStrictEqual(ids);
    });

    it("returns the newest 1,000 without a limit", async () => {
      const { agentId, ids } = await bench.manyCheckpoints();
      expect(await idsOf({ agentId })).toStrictEqual(ids.slice(-1_000).reverse());
    });

    it("returns at most as many as the limit, from 1 to 10,000", async () => {
      const { agentId, ids } = await bench.manyCheckpoints();
      const newestFirst = ids.toReversed();
      expect(await idsOf({ agentId, limit: 1 })).toStrictEqual(newestFirst.slice(0, 1));
      expect(await idsOf({ agentId, limit: 1_100 })).toStrictEqual(newestFirst.slice(0, 1_100));
      expect(await idsOf({ agentId, limit: 10_000 })).toStrictEqual(newestFirst);
    });

    it("lists only ids below before and above since", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 6);
      const [, , third = "", , , last = ""] = ids;
      const newestFirst = ids.toReversed();
      expect(await idsOf({ agentId, before: third })).toStrictEqual(newestFirst.slice(4));
      expect(await idsOf({ agentId, since: third })).toStrictEqual(newestFirst.slice(0, 3));
      expect(await idsOf({ agentId, since: third, before: last })).toStrictEqual(newestFirst.slice(1, 3));
      expect(await idsOf({ agentId, before: third.toUpperCase(), limit: 1 })).toStrictEqual([ids[1]]);
      expect(await idsOf({ agentId, since: last })).toStrictEqual([]);
    });

    it("accepts cursors that are not stored", async () => {
      const agentId = newAgent();
      const times = [1_000_000, 2_000_000, 3_000_000];
      const ids = times.map(idAt);
      for (const id of ids) await bench.storage.storeCheckpoint(checkpointOf(agentId, { id }));
      expect(await idsOf({ agentId, before: idAt(2_500_000) })).toStrictEqual([ids[1], ids[0]]);
      expect(await idsOf({ agentId, since: idAt(1_500_000) })).toStrictEqual([ids[2], ids[1]]);
    });

    it("pages by cursor through all checkpoints of an agent, each of them once", async () => {
      const { agentId, ids } = await bench.manyCheckpoints();
      const seen: string[] = [];
      for (let page = await idsOf({ agentId, limit: 100 }); page.length > 0 && seen.length <= ids.length; ) {
        seen.push(...page);
        page = await idsOf({ agentId, limit: 100, before: page.at(-1) as string });
      }
      expect(seen).toStrictEqual(ids.toReversed());
    });

    it("filters by namespace: absent means all, empty means the default one", async () => {
      const agentId = newAgent();
      const store = (namespace: string) => bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace }));
      const [inDefault, inA, inAb] = [await store(""), await store("a"), await store("a/b")];
      expect(await idsOf({ agentId })).toStrictEqual([inAb, inA, inDefault]);
      expect(await idsOf({ agentId, namespace: "" })).toStrictEqual([inDefault]);
      expect(await idsOf({ agentId, namespace: "a" })).toStrictEqual([inA]);
    });

    it("filters by the whole name", async () => {
      const agentId = newAgent();
      const store = (name: string) => bench.storage.storeCheckpoint(checkpointOf(agentId, { name }));
      const long = "A whole user message. ".repeat(700);
      const [short, twice, whole] = [await store("step"), await store("step step"), await store(long)];
      await store(`${long}!`);
      expect(await idsOf({ agentId, name: "step" })).toStrictEqual([short]);
      expect(await idsOf({ agentId, name: "step step" })).toStrictEqual([twice]);
      expect(await idsOf({ agentId, name: long })).toStrictEqual([whole]);
      expect(await idsOf({ agentId, name: "ste" })).toStrictEqual([]);
    });

    it("filters by parent: lists the children of one checkpoint", async () => {
      const agentId = newAgent();
      const root = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const child = await bench.storage.storeCheckpoint(checkpointOf(agentId, { parentId: root }));
      const fork = await bench.storage.storeCheckpoint(checkpointOf(agentId, { parentId: root }));
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { parentId: child }));
      await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { parentId: root }));
      expect(await idsOf({ agentId, parentId: root })).toStrictEqual([fork, child]);
      expect(await idsOf({ agentId, parentId: root.toUpperCase() })).toStrictEqual([fork, child]);
      expect(await idsOf({ agentId, parentId: "no id" })).toStrictEqual([]);
    });

    it("combines filters: all of them must match", async () => {
      const agentId = newAgent();
      const parentId = idAt(Date.now());
      const all = { namespace: "n", name: "name", parentId, metadata: { a: 1 } };
      const one = await bench.storage.storeCheckpoint(checkpointOf(agentId, all));
      for (const other of [{ namespace: "m" }, { name: "nom" }, { parentId: idAt(1) }, { metadata: { a: 2 } }]) {
        await bench.storage.storeCheckpoint(checkpointOf(agentId, { ...all, ...other }));
      }
      const two = await bench.storage.storeCheckpoint(checkpointOf(agentId, all));
      expect(await idsOf({ agentId, ...all })).toStrictEqual([two, one]);
      expect(await idsOf({ agentId, ...all, before: two })).toStrictEqual([one]);
      expect(await idsOf({ agentId, ...all, limit: 1 })).toStrictEqual([two]);
    });
  });
}
