import type { AgentsQuery } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";

export function describeListAgents(bench: Bench): void {
  /** Agents with a first part in common, so that a cursor finds them among all others. */
  const storeAgents = async (names: readonly string[]) => {
    const prefix = newAgent();
    for (const name of names) await bench.storage.storeCheckpoint(checkpointOf(`${prefix}${name}`));
    return { prefix, agents: names.map((name) => `${prefix}${name}`) };
  };

  describe("listAgents", () => {
    it("names each agent once, however many checkpoints and namespaces it has", async () => {
      const { agentId } = await storeLine(bench.storage, newAgent(), 5);
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace: "sub" }));
      const agents = await bench.storage.listAgents({ limit: 10_000 });
      expect(agents.filter((agent) => agent === agentId)).toHaveLength(1);
      expect(new Set(agents).size).toBe(agents.length);
    });

    it("orders by the bytes of UTF-8, on every database alike", async () => {
      // By UTF-16 units 🚀 comes before \uffee, by people's rules é comes after e and before Z.
      const inOrder = ["", " ", "A", "Z", "a", "a ", "aa", "e", "z", "é", "名", "\uffee", "🚀"];
      const { prefix, agents } = await storeAgents(inOrder.toReversed());
      const listed = await bench.storage.listAgents({ limit: 10_000 });
      expect(listed.filter((agent) => agent.startsWith(prefix))).toStrictEqual(agents.toReversed());
      expect(listed).toStrictEqual(
        listed.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other))),
      );
    });

    it("pages by an agent's id, which need not exist, and leaves it out itself", async () => {
      const { prefix, agents } = await storeAgents(["-1", "-2", "-3", "-4"]);
      const first = await bench.storage.listAgents({ after: `${prefix}-`, limit: 2 });
      expect(first).toStrictEqual(agents.slice(0, 2));
      expect(await bench.storage.listAgents({ after: first[1] as string, limit: 2 })).toStrictEqual(agents.slice(2));
    });

    it("forgets an agent whose last checkpoint is deleted", async () => {
      const { prefix, agents } = await storeAgents(["-1", "-2"]);
      await bench.storage.deleteAgent(`${prefix}-1`);
      expect(await bench.storage.listAgents({ after: prefix, limit: 1 })).toStrictEqual(agents.slice(1));
    });

    it.each([{ limit: 0 }, { limit: 10_001 }, { after: "" }, { after: 7 }, { agentId: "a" }])(
      "refuses the query %j",
      async (query) => {
        await refusal(bench.storage.listAgents(query as AgentsQuery), "INVALID_ARGUMENT");
      },
    );
  });
}
