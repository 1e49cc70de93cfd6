import { randomUUID } from "node:crypto";
import { type AgentInputItem, MemorySession, Runner, type Session } from "@openai/agents-core";
import type { CheckpointStorage } from "@waymark/core";
import { WaymarkRunStates, WaymarkSession } from "@waymark/openai-agents";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { calls, ScriptedModel, says, supportAgent } from "./agent.mjs";
import { start } from "./children.ts";
import { type Database, databases } from "./databases.ts";

const runner = new Runner();

/** Returns the types of items: the rest differs from run to run. */
const types = (items: readonly AgentInputItem[]) => items.map((item) => ("type" in item ? item.type : item.role));

/** Runs a scenario with the SDK's own session, as the reference. */
async function inMemory<Outcome>(scenario: (session: Session) => Promise<Outcome>) {
  const session = new MemorySession();
  const outcome = await scenario(session);
  return { outcome, items: await session.getItems() };
}

describe.each(databases)("on $name", ({ create }) => {
  let database: Database;
  let storage: CheckpointStorage;

  beforeAll(async () => {
    database = await create();
    storage = database.open();
  });
  afterAll(async () => {
    await storage.close();
    await database.drop();
  });

  /** Expects the same items and the same outcome of a scenario with a WaymarkSession as with the SDK's own session. */
  async function expectAsInMemory(
    scenario: (session: Session) => Promise<unknown>,
    sessionId: string = randomUUID(),
  ): Promise<AgentInputItem[]> {
    const session = new WaymarkSession({ storage, sessionId });
    const outcome = await scenario(session);
    const expected = await inMemory(scenario);
    const items = await session.getItems();
    expect({ outcome, items }).toStrictEqual(expected);
    return items;
  }

  it("gives a run the items of the run before, with tool calls and their results", async () => {
    const items = await expectAsInMemory(async (session) => {
      const model = new ScriptedModel([calls("look_up_order", "call 1", { order: "7" }), says("40 €"), says("Bye.")]);
      const agent = supportAgent(model);
      const first = await runner.run(agent, "What was order 7? \0 \ud800", { session });
      const second = await runner.run(agent, "Thanks.", { session });
      expect(model.requests[2]?.input).toHaveLength(5);
      return [first.finalOutput, second.finalOutput, model.requests.map(({ input }) => input)];
    });
    expect(types(items)).toEqual(["message", "function_call", "function_call_result", "message", "message", "message"]);
  });

  it("stores the items of a streamed run", async () => {
    await expectAsInMemory(async (session) => {
      const model = new ScriptedModel([calls("look_up_order", "call 1", { order: "7" }), says("40 €")]);
      const result = await runner.run(supportAgent(model), "What was order 7?", { session, stream: true });
      await result.completed;
      return result.finalOutput;
    });
  });

  it("stores a run whose output a guardrail blocked, by transactions", async () => {
    const sessionId = randomUUID();
    const items = await expectAsInMemory(async (session) => {
      const model = new ScriptedModel([
        calls("look_up_order", "call 1", { order: "7" }),
        says("a secret"),
        says("Bye."),
      ]);
      const agent = supportAgent(model).clone({
        outputGuardrails: [
          {
            name: "no secrets",
            execute: async ({ agentOutput }) => ({
              tripwireTriggered: String(agentOutput).includes("secret"),
              outputInfo: {},
            }),
          },
        ],
      });
      const blocked = await runner.run(agent, "Tell me.", { session }).catch((error: Error) => error.name);
      const after = await runner.run(agent, "Then bye.", { session });
      return [blocked, after.finalOutput];
    }, sessionId);
    expect(JSON.stringify(items)).not.toContain("a secret");
    const history = await storage.listCheckpoints({ agentId: sessionId });
    expect(history.map(({ name }) => name)).toEqual(["addItems", "applyHistoryTransaction"]);
  });

  it("replaces its history atomically by the compacted one", async () => {
    const sessionId = randomUUID();
    const session = new WaymarkSession({ storage, sessionId });
    const compaction = { type: "compaction", encrypted_content: "what was said", id: "cmp 1" } as const;
    const model = new ScriptedModel([says("One."), [compaction, ...says("Two.")]]);
    const agent = supportAgent(model);
    await runner.run(agent, "First.", { session });
    await runner.run(agent, "Second.", { session });
    expect(types(await session.getItems())).toEqual(["compaction", "message"]);
    const [latest] = await storage.listCheckpoints({ agentId: sessionId, limit: 1 });
    expect(latest?.name).toBe("replaceHistoryWithCompaction");
  });

  /** Asks for a refund, and saves the run when it waits for an approval. */
  async function interrupted(sessionId: string) {
    const model = new ScriptedModel([
      calls("look_up_order", "call 1", { order: "7" }),
      calls("refund", "call 2", { order: "7" }),
    ]);
    const session = new WaymarkSession({ storage, sessionId });
    const result = await runner.run(supportAgent(model), "I want my money back.", { session });
    expect(result.interruptions).toHaveLength(1);
    return await new WaymarkRunStates({ storage, agentId: sessionId }).save(result.state, { name: "waits" });
  }

  it.each([
    ["approve", ["7"], "refunded 7"],
    ["reject", [], "not approved"],
  ])("lets another process %s the interruption of a run, and finish the run", async (decision, refunded, output) => {
    const sessionId = randomUUID();
    await interrupted(sessionId);
    const child = await start("approve and resume", { options: database.options, sessionId, decision });
    const resumed = (await child.go()) as { refunded: string[]; finalOutput: string; asked: AgentInputItem[][] };
    expect(resumed.finalOutput).toBe("It is paid back.");
    expect(resumed.refunded).toEqual(refunded);

    const items = await new WaymarkSession({ storage, sessionId }).getItems();
    expect(types(items)).toEqual([
      "message",
      "function_call",
      "function_call_result",
      "function_call",
      "function_call_result",
      "message",
    ]);
    expect(JSON.stringify(items[4])).toContain(output);
    expect(resumed.asked).toHaveLength(1);
    expect(types(resumed.asked[0] ?? [])).toEqual(types(items.slice(0, -1)));
    const history = await storage.listCheckpoints({ agentId: sessionId, namespace: "run" });
    expect(history.map(({ name }) => name)).toEqual(["decided", "waits"]);
    expect(history[0]?.parentId).toBe(history[1]?.id);
  });

  it("lets exactly one of two processes that approve concurrently resume the run, and refuses the other", async () => {
    const sessionId = randomUUID();
    await interrupted(sessionId);
    const args = { options: database.options, sessionId, decision: "approve" };
    const children = await Promise.all([1, 2].map(() => start("approve and resume", args)));
    const ends = await Promise.allSettled(children.map((child) => child.go()));
    const paid = ends.flatMap((end) =>
      end.status === "fulfilled" ? (end.value as { refunded: string[] }).refunded : [],
    );
    expect(paid).toEqual(["7"]);
    // The other process read the state before that and is refused, or after that and sees that the run is decided.
    const refused = ends.flatMap((end) => (end.status === "rejected" ? [String(end.reason)] : []));
    expect(refused.filter((reason) => !reason.includes("CONFLICT"))).toEqual([]);
  });
});
