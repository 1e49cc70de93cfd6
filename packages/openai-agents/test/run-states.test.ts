import { Agent, RunContext, Runner, RunState } from "@openai/agents-core";
import { CheckpointError, type CheckpointStorage } from "@waymark/core";
import { WaymarkRunStates, WaymarkSession } from "@waymark/openai-agents";
import { createSQLiteStorage } from "@waymark/sqlite";
import { Agent as AgentOfAnotherCopy } from "openai-agents-core-minimum";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { calls, ScriptedModel, says, supportAgent } from "./agent.mjs";

interface Customer {
  readonly name: string;
  refundLimit?: () => number;
}

describe("run states", () => {
  let storage: CheckpointStorage;
  beforeAll(() => {
    storage = createSQLiteStorage({ databasePath: ":memory:", indexedLabels: ["user", "status"] });
  });
  afterAll(() => storage.close());

  /** Returns the state of a run that waits for an approval, as `run()` returns it. */
  async function interrupted(context: Customer = { name: "secret Zoë" }) {
    const agent = supportAgent(new ScriptedModel([calls("refund", "call 1", { order: "7" })]));
    return (await new Runner().run(agent, "a secret wish", { context })).state;
  }

  it("are loaded as they were saved, the latest or any other", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "comes back" });
    expect(await runs.load(supportAgent(new ScriptedModel([])))).toBe(null);
    const state = await interrupted();
    const before = Date.now();
    const first = await runs.save(state);
    const saved = state.toString();
    for (const interruption of state.getInterruptions()) state.approve(interruption);
    const second = await runs.save(state, { name: "decided", ifLatest: first });

    const agent = supportAgent(new ScriptedModel([]));
    const latest = await runs.load(agent);
    expect(latest).toMatchObject({ id: second, name: "decided" });
    expect(latest?.createdAt).toBeGreaterThanOrEqual(before);
    const asTheSDKReadsIt = async (text: string) => (await RunState.fromString(agent, text)).toString();
    expect(latest?.state.toString()).toBe(await asTheSDKReadsIt(state.toString()));
    const earlier = await runs.load(agent, { id: first });
    expect(earlier).toMatchObject({ id: first, name: "run state" });
    expect(earlier?.state.toString()).toBe(await asTheSDKReadsIt(saved));
    expect((await storage.retrieveCheckpoint(first))?.state).toEqual(JSON.parse(saved));
  });

  it("have labels, by which they are listed across agents and erased, with the sessions that have them", async () => {
    const metadata = { user: "42", tenant: "a" };
    const waits = { status: "waits for approval" };
    const runs = [1, 2].map((number) => new WaymarkRunStates({ storage, agentId: `labelled ${number}`, metadata }));
    const ids: string[] = [];
    for (const one of runs) ids.push(await one.save(await interrupted(), { metadata: waits }));
    await runs[0]?.save(await interrupted(), { metadata: { tenant: "b" }, name: "decided" });
    const session = new WaymarkSession({ storage, sessionId: "labelled session", metadata });
    await session.addItems([{ role: "user", content: "hello" }]);
    await storage.indexLabels();
    const waiting = await storage.listCheckpoints({ metadata: waits });
    expect(waiting.map(({ id }) => id)).toEqual(ids.reverse());
    expect(waiting[0]?.metadata).toEqual({ ...metadata, ...waits });
    const agent = supportAgent(new ScriptedModel([]));
    expect((await runs[0]?.load(agent))?.metadata).toEqual({ user: "42", tenant: "b" });
    const [change] = await storage.listCheckpoints({ agentId: "labelled session" });
    expect(change?.metadata).toEqual({ ...metadata, change: 1, items: 1 });
    expect(await storage.deleteAgents({ metadata: { user: "42" } })).toEqual({ agents: 3, checkpoints: 4 });
    expect(await session.getItems()).toEqual([]);
    for (const options of [{ metadata: { change: 1 } }, { metadata: { user: {} } }, { metadata: 7 }]) {
      expect(() => new WaymarkSession({ storage, ...(options as object) })).toThrow("options.metadata");
    }
    await expect(runs[0]?.save(await interrupted(), { metadata: [] as never })).rejects.toThrow("options.metadata");
  });

  it("are not found by an id of another agent or namespace, or by an unknown id", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "owner" });
    const id = await runs.save(await interrupted());
    const agent = supportAgent(new ScriptedModel([]));
    expect(await runs.load(agent, { id })).not.toBe(null);
    expect(await new WaymarkRunStates({ storage, agentId: "another" }).load(agent, { id })).toBe(null);
    expect(await new WaymarkRunStates({ storage, agentId: "owner", namespace: "b" }).load(agent, { id })).toBe(null);
    expect(await new WaymarkRunStates({ storage, agentId: "owner", namespace: "b" }).load(agent)).toBe(null);
    await storage.deleteAgent("owner");
    expect(await runs.load(agent, { id })).toBe(null);
  });

  it("are saved by exactly one of several writers that continue from the same state", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "compare" });
    const state = await interrupted();
    const id = await runs.save(state, { ifLatest: null });
    await expect(runs.save(state, { ifLatest: null })).rejects.toMatchObject({ code: "CONFLICT" });
    const ends = await Promise.allSettled([1, 2, 3].map(() => runs.save(state, { ifLatest: id })));
    expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(ends.filter((end) => end.status === "rejected" && end.reason.code === "CONFLICT")).toHaveLength(2);
  });

  it("resume with a new context, with the approvals merged into it", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "context" });
    const state = await interrupted({ name: "Zoë", refundLimit: () => 5 });
    for (const interruption of state.getInterruptions()) state.approve(interruption);
    await runs.save(state);

    const refunded: string[] = [];
    const agent = supportAgent(new ScriptedModel([says("Done.")]), refunded);
    const context = new RunContext<Customer>({ name: "Zoë", refundLimit: () => 7 });
    const saved = await runs.load(agent, { context });
    const result = await new Runner().run(agent, saved?.state as RunState<Customer, typeof agent>);
    expect(result.finalOutput).toBe("Done.");
    expect(refunded).toEqual(["7"]);
    expect(result.state._context.context.refundLimit?.()).toBe(7);

    const replaced = await runs.load(agent, { context, contextStrategy: "replace" });
    expect(replaced?.state.getInterruptions()).toHaveLength(1);
    const kept = await runs.load<Customer>(agent);
    expect(kept?.state._context.context).toEqual({ name: "Zoë" }); // the members that JSON can hold
  });

  it("take space for the changes only", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "delta" });
    const agent = supportAgent(new ScriptedModel([calls("refund", "call 1", { order: "7" })]));
    const { state } = await new Runner().run(agent, "x".repeat(200) + Math.random().toString(36).repeat(2_000));
    await runs.save(state);
    const before = await storage.stats({ agentId: "delta" });
    for (const interruption of state.getInterruptions()) state.approve(interruption);
    await runs.save(state);
    const after = await storage.stats({ agentId: "delta" });
    expect(after.stateBytes - before.stateBytes).toBeGreaterThan(20_000);
    expect(after.storedBytes - before.storedBytes).toBeLessThan(2_000);
  });

  it("are not confused with other checkpoints in the namespace, whose content no error shows", async () => {
    const other = { agentId: "other", namespace: "run", name: "a", createdAt: 1 };
    await storage.storeCheckpoint({ ...other, state: { secret: "secret" } });
    const runs = new WaymarkRunStates({ storage, agentId: "other" });
    const error = await runs.load(supportAgent(new ScriptedModel([]))).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringContaining("hold a run state") });
    expect(String(error)).not.toContain("secret");
  });

  it("are refused by the SDK if they do not fit the agent or are of a newer version, and no error shows them", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "unfit" });
    const id = await runs.save(await interrupted());
    const agent = new Agent({ name: "somebody else" });
    const unfit = await runs.load(agent).catch((error: unknown) => error);
    expect(unfit).toMatchObject({ message: expect.stringContaining("support") });
    const state = { ...((await storage.retrieveCheckpoint(id))?.state as object), $schemaVersion: "9.9" };
    await storage.storeCheckpoint({ agentId: "unfit", namespace: "run", name: "newer", createdAt: 1, state });
    const newer = await runs.load(supportAgent(new ScriptedModel([]))).catch((error: unknown) => error);
    expect(newer).toMatchObject({ message: expect.stringContaining("9.9") });
    for (const error of [unfit, newer]) expect(`${error} ${(error as Error).stack}`).not.toContain("secret");
  });

  it("are refused, with the reason, if the SDK is installed twice", async () => {
    const runs = new WaymarkRunStates({ storage, agentId: "twice" });
    await runs.save(await interrupted());
    const agent = new AgentOfAnotherCopy({ name: "support" });
    await expect(runs.load(agent as never)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("is there a second copy"),
    });
    await expect(runs.save({ toString: () => "{}" } as never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it.each([
    [{ agentId: "a" }, "options.storage"],
    [{ storage: true, agentId: "" }, "options.agentId"],
    [{ storage: true }, "options.agentId"],
    [{ storage: true, agentId: "a", namespace: null }, "options.namespace"],
    [{ storage: true, agentId: "a", name: "a" }, '"name"'],
  ])("refuse the options %o", (options, named) => {
    const given = "storage" in options ? { ...options, storage } : options;
    expect(() => new WaymarkRunStates(given as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(named) }),
    );
  });

  it.each([{ name: 1 }, { ifLatest: 1 }, { ifLatest: "1" }, { ifLatest: undefined }, { names: "a" }])(
    "are not saved with the options %o",
    async (options) => {
      const runs = new WaymarkRunStates({ storage, agentId: "options" });
      const state = await interrupted();
      await expect(runs.save(state, options as never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      const agent = supportAgent(new ScriptedModel([]));
      expect(await runs.load(agent)).toBe(null);
      await expect(runs.load(agent, { id: undefined } as object)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    },
  );
});
