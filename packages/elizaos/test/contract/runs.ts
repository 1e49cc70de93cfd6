import { describe, expect, it } from "vitest";
import type { RunSummary, UUID } from "../../src/index.ts";
import { type Bench, expectRefusal, type Home, newEntity, newId, newRoom, stopClock } from "./bench.ts";

type Entry = readonly [time: number, type: string, body: object, members?: object];

/** Logs entries at their times, and returns an adapter's view of them. */
async function logAt(home: Home, entries: readonly Entry[]): Promise<void> {
  const { adapter, entityId, roomId } = home;
  const setTime = stopClock();
  for (const [time, type, body, members] of entries) {
    setTime(time);
    await adapter.log({ body: body as Record<string, unknown>, entityId, roomId, type, ...members });
  }
}

const eventOf = (runId: string, status: string, more: object = {}) => ({ runId, status, ...more });

export function describeRuns(bench: Bench): void {
  describe("summaries of runs", () => {
    it("say of each run what its logs tell, the newest first", async () => {
      const home = await bench.newHome();
      const { adapter, entityId, roomId } = home;
      const [runId, other, messageId] = [newId(), newId(), newId()];
      await logAt(home, [
        [1_000, "run_event", eventOf(runId, "started", { messageId, metadata: { source: "test" } })],
        [1_100, "action", { runId, result: { success: true }, promptCount: 2 }],
        [1_200, "action", { runId, result: { success: false } }],
        [1_300, "evaluator", { runId }],
        [1_400, "useModel:TEXT_LARGE", { runId }],
        [1_500, "embedding_event", { runId, status: "failed" }],
        [1_600, "embedding_event", { runId, status: "completed" }],
        [1_700, "run_event", eventOf(runId, "completed")],
        [2_000, "run_event", eventOf(other, "started")],
        [2_100, "action", { runId: newId() }],
      ]);
      expect(await adapter.getAgentRunSummaries({})).toEqual({
        runs: [
          {
            ...{
              runId: other,
              status: "started",
              startedAt: 2_000,
              endedAt: null,
              durationMs: null,
              roomId,
              entityId,
              metadata: {},
            },
            counts: { actions: 0, modelCalls: 0, errors: 0, evaluators: 0 },
          },
          {
            ...{
              runId,
              status: "completed",
              startedAt: 1_000,
              endedAt: 1_700,
              durationMs: 700,
              roomId,
              entityId,
              messageId,
            },
            ...{ metadata: { source: "test" }, counts: { actions: 2, modelCalls: 3, errors: 2, evaluators: 1 } },
          },
        ],
        total: 2,
        hasMore: false,
      });
    });

    it("are filtered by status, room, entity and time, and cut to a number", async () => {
      const home = await bench.newHome();
      const { adapter, entityId, roomId } = home;
      const [eve, room] = [await newEntity(home), await newRoom(home)];
      const ends = ["completed", "error", "timeout", "started"];
      const runs = ends.map((status, at) => ({ runId: `run ${at} of ${newId()}`, status }));
      const members = [{}, { roomId: room }, { entityId: eve }, {}];
      await logAt(
        home,
        runs.flatMap(({ runId, status }, at): Entry[] => [
          [at * 1_000, "run_event", eventOf(runId, "started"), members[at] as object],
          [at * 1_000 + 500, "run_event", eventOf(runId, status), members[at] as object],
        ]),
      );
      const find = async (query: object) => (await adapter.getAgentRunSummaries(query)).runs.map(numberOf);
      const numberOf = ({ runId }: RunSummary) => runs.findIndex((run) => run.runId === runId);
      expect(await find({})).toEqual([3, 2, 1, 0]);
      expect(await find({ status: "all" })).toEqual([3, 2, 1, 0]);
      for (const [at, status] of ends.entries()) expect(await find({ status })).toEqual([at]);
      expect(await find({ roomId })).toEqual([3, 2, 0]);
      expect(await find({ roomId: room.toUpperCase() })).toEqual([1]);
      expect(await find({ entityId })).toEqual([3, 1, 0]);
      expect(await find({ entityId: eve })).toEqual([2]);
      expect(await find({ from: 1_000, to: 2_500 })).toEqual([2, 1]);
      expect(await find({ limit: 3 })).toEqual([3, 2, 1]);
      expect(await adapter.getAgentRunSummaries({ limit: 3 })).toMatchObject({ total: 4, hasMore: true });
      expect(await find({ limit: 0 })).toEqual([3]);
      expect(await find({ roomId: newId() })).toEqual([]);
    });

    it("are those of this agent, of logs with a run", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      await logAt({ ...home, adapter: other.adapter }, [[1_000, "run_event", eventOf(newId(), "started")]]);
      await logAt(home, [
        [1_000, "run_event", { status: "started" }],
        [1_000, "run_event", { runId: "", status: "started" }],
      ]);
      expect(await home.adapter.getAgentRunSummaries()).toEqual({ runs: [], total: 0, hasMore: false });
      expect(await other.adapter.getAgentRunSummaries()).toMatchObject({ total: 1 });
      await expectRefusal(home.adapter.getAgentRunSummaries({ roomId: "x" as UUID }), "INVALID_ARGUMENT", "roomId");
    });
  });
}
