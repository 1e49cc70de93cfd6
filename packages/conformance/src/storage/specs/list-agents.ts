import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";

export function describeListAgents(bench: Bench): void {
  /** Stores a checkpoint for each of these agents, whose ids share a prefix: a cursor finds them among all others. */
  const storeAgents = async (names: readonly string[]) => {
    const prefix = newAgent();
    for (const name of names) await bench.storage.storeCheckpoint(checkpointOf(`${prefix}${name}`));
    return { prefix, agents: names.map((name) => `${prefix}${name}`) };
  };

  describe("listAgents", () => {
    it("lists each agent once, however many checkpoints and namespaces it has", async () => {
      const { agentId } = await storeMany(bench.storage, newAgent(), 5);
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace: "sub" }));
      const agents = await bench.storage.listAgents({ limit: 10_000 });
      expect(agents.filter((agent) => agent === agentId)).toHaveLength(1);
      expect(new Set(agents).size).toBe(agents.length);
    });

    it("orders agents by the bytes of their ids in UTF-8", async () => {
      // By UTF-16 code units 🚀 comes before \uffee; by language rules é comes after e and before Z.
      const inOrder = ["", " ", "A", "Z", "a", "a ", "aa", "e", "z", "é", "名", "\uffee", "🚀"];
      const { prefix, agents } = await storeAgents(inOrder.toReversed());
      const listed = await bench.storage.listAgents({ limit: 10_000 });
      expect(listed.filter((agent) => agent.startsWith(prefix))).toStrictEqual(agents.toReversed());
      expect(listed).toStrictEqual(
        listed.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other))),
      );
    });

    it("starts after the agent of the cursor, which need not exist", async () => {
      const { prefix, agents } = await storeAgents(["-1", "-2", "-3", "-4"]);
      const first = await bench.storage.listAgents({ after: `${prefix}-`, limit: 2 });
      expect(first).toStrictEqual(agents.slice(0, 2));
      expect(await bench.storage.listAgents({ after: first[1] as string, limit: 2 })).toStrictEqual(agents.slice(2));
    });

    it("omits an agent whose last checkpoint was deleted", async () => {
      const { prefix, agents } = await storeAgents(["-1", "-2"]);
      await bench.storage.deleteAgent(`${prefix}-1`);
      expect(await bench.storage.listAgents({ after: prefix, limit: 1 })).toStrictEqual(agents.slice(1));
    });
  });
}
