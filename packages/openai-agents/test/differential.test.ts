import { randomUUID } from "node:crypto";
import {
  type AgentInputItem,
  MemorySession,
  type SessionHistoryMutation,
  type SessionHistoryTransaction,
} from "@openai/agents-core";
import { WaymarkSession } from "@waymark/openai-agents";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { databases } from "./databases.ts";
import { callId, functionCall, items } from "./items.ts";

type Step =
  | { readonly do: "addItems"; readonly items: AgentInputItem[] }
  | { readonly do: "getItems"; readonly limit: number | undefined }
  | { readonly do: "popItem" | "clearSession" }
  | { readonly do: "applyHistoryMutations"; readonly mutations: SessionHistoryMutation[] }
  | { readonly do: "append"; readonly operationId: string; readonly items: AgentInputItem[] }
  | {
      readonly do: "replace suffix";
      readonly operationId: string;
      readonly length: number;
      /** A wrong suffix; `null`: the right one. */
      readonly wrong: AgentInputItem[] | null;
      readonly replacement: AgentInputItem[];
    }
  | { readonly do: "repeat the last transaction" };

const operationId = fc.constantFrom("operation 1", "operation 2", "operation 3", "operation 4", " ");

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("addItems" as const), items }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("getItems" as const),
      limit: fc.oneof(
        fc.integer({ min: -1, max: 8 }),
        fc.constantFrom(undefined, 1.5, 100, Number.NaN, Number.POSITIVE_INFINITY),
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("popItem" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clearSession" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("applyHistoryMutations" as const),
      mutations: fc.array(
        fc.record({ type: fc.constant("replace_function_call" as const), callId, replacement: functionCall }),
        { maxLength: 3 },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("append" as const), operationId, items }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("replace suffix" as const),
      operationId,
      length: fc.integer({ min: 0, max: 3 }),
      wrong: fc.option(items, { freq: 4 }),
      replacement: items,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("repeat the last transaction" as const) }) },
);

type Outcome = { readonly returned: unknown } | "refused";

/** Runs steps on a session, as the SDK or an application does. */
class Player {
  readonly #sessions: readonly (MemorySession | WaymarkSession)[];
  #last: { operationId: string; transaction: SessionHistoryTransaction } | undefined;

  constructor(sessions: readonly (MemorySession | WaymarkSession)[]) {
    this.#sessions = sessions;
  }

  async play(step: Step, turn: number): Promise<Outcome> {
    const session = this.#sessions[turn % this.#sessions.length] as MemorySession | WaymarkSession;
    try {
      return { returned: await this.#play(session, step) };
    } catch {
      return "refused";
    }
  }

  async #play(session: MemorySession | WaymarkSession, step: Step): Promise<unknown> {
    switch (step.do) {
      case "addItems":
        return await session.addItems(step.items);
      case "getItems":
        return await session.getItems(step.limit);
      case "popItem":
        return await session.popItem();
      case "clearSession":
        return await session.clearSession();
      case "applyHistoryMutations":
        return await session.applyHistoryMutations({ mutations: step.mutations });
      case "append":
        this.#last = { operationId: step.operationId, transaction: { type: "append_items", items: step.items } };
        return await session.applyHistoryTransaction(this.#last);
      case "replace suffix": {
        const expectedSuffix = step.wrong ?? (await session.getItems(step.length));
        const { operationId, replacement } = step;
        this.#last = { operationId, transaction: { type: "replace_suffix", expectedSuffix, replacement } };
        return await session.applyHistoryTransaction(this.#last);
      }
      case "repeat the last transaction":
        // With another order of keys, as after a round trip through a RunState.
        return this.#last && (await session.applyHistoryTransaction(reversed(this.#last)));
    }
  }
}

function reversed<Value>(value: Value): Value {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(reversed) as Value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  ) as Value;
}

describe.each(databases)("on $name, a WaymarkSession", ({ name, create }) => {
  it("behaves as a MemorySession does in random sequences of calls, by one process or two", async () => {
    const database = await create();
    const [first, second] = [database.open(), database.open()];
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 20 }),
          fc.constantFrom(undefined, 1, 3),
          async (steps, keepLast) => {
            const sessionId = randomUUID();
            const memory = new MemorySession({ sessionId });
            const options = { sessionId, ...(keepLast === undefined ? {} : { keepLast }) };
            const sessions = [first, second].map((storage) => new WaymarkSession({ storage, ...options }));
            const [expected, actual] = [new Player([memory]), new Player(sessions)];
            for (const [turn, step] of steps.entries()) {
              expect(await actual.play(step, turn)).toStrictEqual(await expected.play(step, turn));
              expect(await sessions[turn % 2]?.getItems()).toStrictEqual(await memory.getItems());
              if (step.do === "clearSession") expect(await first.listCheckpoints({ agentId: sessionId })).toEqual([]);
            }
            if (keepLast !== undefined) {
              const kept = await first.listCheckpoints({ agentId: sessionId });
              expect(kept.length).toBeLessThan(2 * keepLast + 1);
            }
          },
        ),
        { numRuns: name === "SQLite" ? 300 : 25 },
      );
    } finally {
      await Promise.all([first.close(), second.close()]);
      await database.drop();
    }
  }, 300_000);
});
