import { describe, expect, it, vi } from "vitest";
import type { Log, UUID } from "../../src/index.ts";
import { LOGS } from "../../src/tables.ts";
import {
  type Bench,
  collectWarnings,
  expectRefusal,
  type Home,
  newEntity,
  newId,
  newRoom,
  ODD_TEXT,
  stopClock,
} from "./bench.ts";
import { Recording } from "./recording.ts";

const DAY_MS = 86_400_000;

/** Logs bodies in the room of a home, one after the other. */
async function logAll(
  { adapter, entityId, roomId }: Home,
  bodies: readonly object[],
  members: object = {},
): Promise<void> {
  for (const body of bodies) {
    await adapter.log({ body: body as Record<string, unknown>, entityId, roomId, type: "action", ...members });
  }
}

const numbersOf = (logs: readonly Log[]) => logs.map(({ body }) => body["at"]);

export function describeLogs(bench: Bench): void {
  describe("logs", () => {
    it("come back as they are, to the adapter that logged at once", async () => {
      const home = await bench.newHome();
      const { adapter, entityId, roomId } = home;
      const body = { runId: "r", deep: { list: [1, null, "x"] }, text: 'C:\\new\\u0000 "q"' };
      const before = Date.now();
      await adapter.log({ body, entityId, roomId, type: "useModel:TEXT_SMALL" });
      const logs = await adapter.getLogs({ roomId });
      expect(logs).toEqual([
        { id: expect.any(String), body, entityId, roomId, type: "useModel:TEXT_SMALL", createdAt: expect.any(Date) },
      ]);
      expect(logs[0]?.createdAt.getTime()).toBeGreaterThanOrEqual(before);
    });

    it("are stored when the adapter is closed", async () => {
      const home = await bench.newHome();
      const other = bench.adapterOf(home.agentId);
      await logAll({ ...home, adapter: other }, [{ at: 1 }]);
      await other.close();
      expect(numbersOf(await home.adapter.getLogs({ roomId: home.roomId }))).toEqual([1]);
    });

    it("are listed the newest first, 10 if no number is given", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      stopClock()(1_700_000_000_000); // all at once: they stay in the order in which they were made
      await logAll(
        home,
        Array.from({ length: 25 }, (_, at) => ({ at })),
      );
      const all = Array.from({ length: 25 }, (_, at) => 24 - at);
      const list = async (page: object) => numbersOf(await adapter.getLogs({ roomId, ...page }));
      expect(await list({})).toEqual(all.slice(0, 10));
      expect(await list({ offset: 10 })).toEqual(all.slice(10, 20));
      expect(await list({ count: 100 })).toEqual(all);
      expect(await list({ count: 3, offset: 23 })).toEqual(all.slice(23));
      expect(await list({ count: 0 })).toEqual([]);
      for (const page of [{ count: -1 }, { count: 1.5 }, { offset: -1 }])
        await expectRefusal(adapter.getLogs(page), "INVALID_ARGUMENT");
    });

    it("are filtered by entity, room and type, and all of them", async () => {
      const home = await bench.newHome();
      const { adapter, entityId, roomId } = home;
      const [eve, room] = [await newEntity(home), await newRoom(home)];
      await logAll(home, [{ at: 0 }]);
      await logAll(home, [{ at: 1 }], { entityId: eve });
      await logAll(home, [{ at: 2 }], { roomId: room });
      await logAll(home, [{ at: 3 }], { type: "evaluator" });
      const list = async (query: object) => numbersOf(await adapter.getLogs(query));
      expect(await list({ entityId })).toEqual([3, 2, 0]);
      expect(await list({ entityId: eve.toUpperCase() })).toEqual([1]);
      expect(await list({ roomId })).toEqual([3, 1, 0]);
      expect(await list({ roomId, type: "evaluator" })).toEqual([3]);
      expect(await list({ roomId, type: "Evaluator" })).toEqual([]);
      expect(await list({ roomId: room, entityId })).toEqual([2]);
      expect(await list({ roomId: room, entityId: eve })).toEqual([]);
      expect(await list({ entityId: newId() })).toEqual([]);
    });

    it("of other agents are listed too, unless they are filtered out", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { entityId, roomId } = home;
      await logAll(home, [{ at: 1 }]);
      await logAll({ ...home, adapter: other.adapter }, [{ at: 2 }]);
      await other.adapter.getLogs({ count: 1 });
      expect(numbersOf(await home.adapter.getLogs({ entityId, roomId }))).toEqual([2, 1]);
    });

    it("are deleted one by one, those that wait too", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      await logAll(home, [{ at: 1 }, { at: 2 }]);
      const [second] = await adapter.getLogs({ roomId });
      await logAll(home, [{ at: 3 }]);
      await adapter.deleteLog(second?.id.toUpperCase() as UUID);
      await adapter.deleteLog(newId());
      expect(numbersOf(await adapter.getLogs({ roomId }))).toEqual([3, 1]);
    });

    it("have bodies of any characters, and what JSON has not as far as it goes", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const cycle: Record<string, unknown> = { name: "cycle" };
      cycle["self"] = cycle;
      const throwing = Object.defineProperty({ n: 1n }, "secret", { enumerable: true, get: () => JSON.parse("{") });
      const bodies = [
        { [ODD_TEXT]: ODD_TEXT },
        { cycle },
        { big: 1n, f: () => {}, at: new Date(0), not: Number.NaN },
        { throwing },
      ];
      await logAll(home, bodies);
      const found = (await adapter.getLogs({ roomId })).reverse().map(({ body }) => body);
      expect(found).toEqual([
        { [ODD_TEXT]: ODD_TEXT },
        { cycle: { name: "cycle", self: "[Circular]" } },
        { big: "1", at: "1970-01-01T00:00:00.000Z", not: null },
        { throwing: { n: "1", secret: "[Unreadable]" } },
      ]);
      expect(adapter.getConnectionInfo().droppedLogs).toBe(0);
    });

    it("never make a call reject: those that cannot be stored are counted, and said once", async () => {
      const warnings = collectWarnings();
      const home = await bench.newHome();
      const { adapter, entityId, roomId } = home;
      const good = { body: { at: 1 }, entityId, roomId, type: "action" };
      const bad: unknown[] = [
        ...[null, undefined, 7, "text", [], { ...good, entityId: "'; --" }, { ...good, roomId: undefined }],
        ...[
          { ...good, type: "nul \0" },
          { ...good, type: "x".repeat(256) },
          { ...good, type: undefined },
        ],
        ...[
          { ...good, entityId: newId() },
          { ...good, roomId: newId() },
        ],
      ];
      await adapter.log(good);
      for (const one of bad) expect(await adapter.log(one as never)).toBeUndefined();
      await adapter.log({ ...good, body: undefined as never });
      await adapter.log({ ...good, body: { at: 2 } });
      expect(numbersOf(await adapter.getLogs({ roomId }))).toEqual([2, undefined, 1]);
      expect(adapter.getConnectionInfo().droppedLogs).toBe(bad.length);
      expect(warnings).toEqual([
        { code: "WAYMARK_ELIZA_LOGS_DROPPED", message: expect.stringContaining("A log was dropped") },
      ]);
    });

    it("never make a call reject of an adapter that was closed", async () => {
      const warnings = collectWarnings();
      const home = await bench.newHome();
      const other = bench.adapterOf(home.agentId);
      await other.close();
      await logAll({ ...home, adapter: other }, [{ at: 1 }, { at: 2 }]);
      expect(other.getConnectionInfo().droppedLogs).toBe(2);
      expect(warnings).toMatchObject([
        { code: "WAYMARK_ELIZA_LOGS_DROPPED", message: expect.stringContaining("closed") },
      ]);
      expect(await home.adapter.getLogs({ roomId: home.roomId })).toEqual([]);
    });

    it("are all stored, however many are made at once", async () => {
      const home = await bench.newHome();
      const { adapter, entityId, roomId } = home;
      const logs = Array.from({ length: 1_200 }, (_, at) => ({ body: { at }, entityId, roomId, type: "action" }));
      for (const log of logs.slice(0, 600)) void adapter.log(log);
      await Promise.all(logs.slice(600).map((log) => adapter.log(log)));
      expect(numbersOf(await adapter.getLogs({ roomId, count: 2_000 }))).toEqual(logs.map((_, at) => 1_199 - at));
      expect(adapter.getConnectionInfo().droppedLogs).toBe(0);
    });

    it("are stored whenever they are made, just when others have been stored too", async () => {
      const home = await bench.newHome();
      for (let microtasks = 0; microtasks < 40; microtasks++) {
        const recording = new Recording(bench, home.agentId);
        const later = { ...home, adapter: recording.adapter };
        const closed = new Promise<void>((resolve) => {
          recording.onChanged = async () => {
            recording.onChanged = () => {};
            for (let turn = 0; turn < microtasks; turn++) await null;
            void logAll(later, [{ at: 2 }]);
            resolve(recording.adapter.close());
          };
        });
        await logAll(later, [{ at: 1 }]);
        await recording.adapter.getLogs({ count: 1 }).catch(() => {}); // or it is closed by then
        await closed;
      }
      expect(await bench.count(LOGS, { agent: home.agentId })).toBe(80);
    });

    it("that are older than some days go, if the options say so", async () => {
      const home = await bench.newHome();
      const { agentId, roomId } = home;
      const other = await bench.newHome();
      const now = Date.now();
      const setTime = stopClock();
      for (const [at, days] of [31, 30.1, 29.9, 0].entries()) {
        setTime(now - days * DAY_MS);
        await logAll(home, [{ at }]);
        await logAll(other, [{ at }]);
      }
      await home.adapter.getLogs({});
      await other.adapter.getLogs({});
      setTime(now);
      const keeping = bench.adapterOf(agentId, { logs: { keepDays: 30 } });
      await logAll({ ...home, adapter: keeping }, [{ at: 4 }]);
      await vi.waitFor(async () => expect(numbersOf(await keeping.getLogs({ roomId }))).toEqual([4, 3, 2]), {
        timeout: 60_000,
      });
      expect(await other.adapter.getLogs({ roomId: other.roomId })).toHaveLength(4);
    });

    it("that are more than some rows go, the oldest of this agent", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { agentId, roomId } = home;
      await logAll(other, [{ at: 0 }]);
      await logAll(
        home,
        Array.from({ length: 30 }, (_, at) => ({ at })),
      );
      await home.adapter.getLogs({});
      await other.adapter.getLogs({});
      const keeping = bench.adapterOf(agentId, { logs: { keepRows: 5 } });
      await logAll({ ...home, adapter: keeping }, [{ at: 30 }]);
      const left = async () => numbersOf(await keeping.getLogs({ roomId, count: 100 }));
      await vi.waitFor(async () => expect(await left()).toEqual([30, 29, 28, 27, 26]), { timeout: 60_000 });
      expect(await bench.count(LOGS, { agent: other.agentId })).toBe(1);
    });
  });
}
