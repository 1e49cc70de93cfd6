import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent } from "../bench.ts";
import { idAt } from "../ids.ts";

export function describeAncestors(bench: Bench): void {
  const store = (agentId: string, parentId?: string, members = {}) =>
    bench.storage.storeCheckpoint(
      checkpointOf(agentId, { ...members, ...(parentId === undefined ? {} : { parentId }) }),
    );
  /** Stores `count` checkpoints, each the child of the one before, and returns their ids, the root first. */
  const storeBranch = async (agentId: string, count: number, from?: string) => {
    const ids: string[] = [];
    while (ids.length < count) ids.push(await store(agentId, ids.at(-1) ?? from));
    return ids;
  };
  const ancestorsOf = async (id: string) =>
    (await collect(bench.storage.iterateAncestors(id))).map((checkpoint) => checkpoint.id);

  describe("iterateAncestors", () => {
    it("yields the checkpoint itself, then its parent, and so on back to the root", async () => {
      const ids = await storeBranch(newAgent(), 5);
      expect(await ancestorsOf(ids[4] as string)).toStrictEqual(ids.toReversed());
      expect(await ancestorsOf(ids[2] as string)).toStrictEqual(ids.slice(0, 3).reverse());
    });

    it("yields only the root for a root", async () => {
      const id = await store(newAgent());
      expect(await ancestorsOf(id)).toStrictEqual([id]);
    });

    it("yields the same items as listCheckpoints", async () => {
      const agentId = newAgent();
      const root = await store(agentId, undefined, { namespace: "n", name: "root", metadata: { a: 1, b: null } });
      await store(agentId, root, { createdAt: -5 });
      const listed = await bench.storage.listCheckpoints({ agentId });
      expect(await collect(bench.storage.iterateAncestors(listed[0]?.id as string))).toStrictEqual(listed);
    });

    it("follows each branch of a forked history to the common root", async () => {
      const agentId = newAgent();
      const trunk = await storeBranch(agentId, 4);
      const one = await storeBranch(agentId, 3, trunk[1]);
      const other = await storeBranch(agentId, 2, trunk[1]);
      const twig = await storeBranch(agentId, 2, one[0]);
      expect(await ancestorsOf(trunk[3] as string)).toStrictEqual(trunk.toReversed());
      expect(await ancestorsOf(one[2] as string)).toStrictEqual([...trunk.slice(0, 2), ...one].reverse());
      expect(await ancestorsOf(other[1] as string)).toStrictEqual([...trunk.slice(0, 2), ...other].reverse());
      expect(await ancestorsOf(twig[1] as string)).toStrictEqual(
        [...trunk.slice(0, 2), one[0] as string, ...twig].reverse(),
      );
    });

    it("skips checkpoints that are older but no ancestors", async () => {
      const agentId = newAgent();
      await store(agentId);
      const root = await store(agentId);
      await store(agentId);
      const child = await store(agentId, root);
      expect(await ancestorsOf(child)).toStrictEqual([child, root]);
    });

    it("follows a parent into another namespace", async () => {
      const agentId = newAgent();
      const root = await store(agentId);
      const inner = await store(agentId, root, { namespace: "sub" });
      const back = await store(agentId, inner);
      expect(await ancestorsOf(back)).toStrictEqual([back, inner, root]);
    });

    it("ends at a checkpoint whose parent was never stored", async () => {
      const agentId = newAgent();
      const first = await store(agentId, idAt(1_600_000_000_000));
      const second = await store(agentId, first);
      expect(await ancestorsOf(second)).toStrictEqual([second, first]);
    });

    it("ends at a checkpoint whose parent was deleted or pruned, and continues once the parent is stored again", async () => {
      const agentId = newAgent();
      const ids = await storeBranch(agentId, 6);
      await bench.storage.deleteCheckpoint(ids[1] as string);
      expect(await ancestorsOf(ids[5] as string)).toStrictEqual(ids.slice(2).reverse());
      if (!bench.target.keepsTombstones) {
        await bench.storage.storeCheckpoint(
          checkpointOf(agentId, { id: ids[1] as string, parentId: ids[0] as string }),
        );
        expect(await ancestorsOf(ids[5] as string)).toStrictEqual(ids.toReversed());
      }
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 3 });
      expect(await ancestorsOf(ids[5] as string)).toStrictEqual(ids.slice(3).reverse());
    });

    it("yields nothing for an id that was deleted, was never stored, or is not a checkpoint's", async () => {
      const [root, child = ""] = await storeBranch(newAgent(), 2);
      await bench.storage.deleteCheckpoint(child);
      expect(await ancestorsOf(child)).toStrictEqual([]);
      expect(await ancestorsOf(root as string)).toStrictEqual([root]);
      expect(await ancestorsOf(idAt(Date.now()))).toStrictEqual([]);
      expect(await ancestorsOf("no id")).toStrictEqual([]);
      expect(await ancestorsOf("")).toStrictEqual([]);
    });

    it("accepts the id in upper case", async () => {
      const ids = await storeBranch(newAgent(), 2);
      expect(await ancestorsOf((ids[1] as string).toUpperCase())).toStrictEqual(ids.toReversed());
    });

    it("follows parentId also to a parent whose id is higher than its child's", async () => {
      const agentId = newAgent();
      const [oldest, middle, youngest] = [idAt(1_000), idAt(2_000), idAt(3_000)];
      await store(agentId, undefined, { id: youngest });
      await store(agentId, youngest, { id: oldest });
      await store(agentId, oldest, { id: middle });
      expect(await ancestorsOf(middle)).toStrictEqual([middle, oldest, youngest]);
    });

    it("yields more than 1,000 ancestors", async () => {
      const agentId = newAgent();
      const ids = Array.from({ length: 2_100 }, (_, index) => idAt(1_000_000 + index));
      for (let at = 0; at < ids.length; at += 100) {
        const stores = ids.slice(at, at + 100).map((id, index) => store(agentId, ids[at + index - 1], { id }));
        await Promise.all(stores);
      }
      expect(await ancestorsOf(ids.at(-1) as string)).toStrictEqual(ids.toReversed());
    });

    it("ends in a cycle of parents, and yields each of them once", async () => {
      const agentId = newAgent();
      const [first, second, third] = [idAt(1_000), idAt(2_000), idAt(3_000)];
      await store(agentId, third, { id: first });
      await store(agentId, first, { id: second });
      await store(agentId, second, { id: third });
      expect(await ancestorsOf(third)).toStrictEqual([third, second, first]);
      expect(await ancestorsOf(first)).toStrictEqual([first, third, second]);
      const tail = await store(agentId, third);
      expect(await ancestorsOf(tail)).toStrictEqual([tail, third, second, first]);
    });

    it("can be left early, and the storage still works", async () => {
      const ids = await storeBranch(newAgent(), 3);
      for await (const { id } of bench.storage.iterateAncestors(ids[2] as string)) {
        expect(id).toBe(ids[2]);
        break;
      }
      expect(await ancestorsOf(ids[2] as string)).toHaveLength(3);
    });
  });
}
