import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { openCheckpointStorage } from "../../src/config/open.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import type { StateParser } from "../../src/contract/state-parser.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { createReplicatedStorage } from "../../src/replication/storage.ts";
import { scriptedDialect } from "../scripted-dialect.ts";
import { checkpoint, scriptedStorage } from "../scripted-storage.ts";

const CANARY = "hunter2-canary";
const STATE = z.object({ turn: z.number(), notes: z.array(z.object({ text: z.string() })) });
type State = z.infer<typeof STATE>;
const GOOD: State = { turn: 1, notes: [{ text: "a" }] };
const BAD = { turn: CANARY, notes: [{ text: "a" }, { text: 7 }] };

const open = <State>(parse: StateParser<State>) =>
  createStorage<State>(scriptedDialect(), resolveStorageOptions({ parse }));

const storages: Record<string, () => Promise<CheckpointStorage<State>>> = {
  "a storage": async () => open(STATE),
  "main and backup, by the parser of main": async () =>
    createReplicatedStorage({ main: open(STATE), backup: createStorage<State>(scriptedDialect()) }),
  "a configured storage": async () =>
    await openCheckpointStorage({
      config: { checkpoint: { providers: { main: { type: () => createStorage(scriptedDialect()) } } } },
      parse: STATE,
    }),
};

describe.each(Object.entries(storages))("the states of %s", (_, make) => {
  test("are parsed when they are read", async () => {
    await using storage = await make();
    const id = await storage.storeCheckpoint({ ...checkpoint(), state: { ...GOOD, extra: 1 } as State });
    const found = await storage.retrieveCheckpoint(id);
    const turn: number | undefined = found?.state.turn; // typed
    expect([turn, found?.state]).toEqual([1, GOOD]);
    expect((await storage.retrieveLatestCheckpoint("agent"))?.state).toEqual(GOOD);
  });

  test("are refused with the paths of what does not match, and nothing of the state", async () => {
    await using storage = await make();
    const id = await storage.storeCheckpoint({ ...checkpoint(), state: BAD as never });
    for (const call of [storage.retrieveCheckpoint(id), storage.retrieveLatestCheckpoint("agent")]) {
      const error = await call.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(CheckpointError);
      expect(error).toMatchObject({
        code: "STATE_MISMATCH",
        message: `the state of checkpoint ${id} of agent "agent" does not match options.parse: state.turn, state.notes[1].text`,
      });
      expect(inspect(error, { showHidden: true, depth: 20 })).not.toContain(CANARY);
    }
    expect(await storage.listCheckpoints()).toHaveLength(1);
  });
});

describe("a parser", () => {
  test.each<[string, StateParser<unknown>, RegExp]>([
    ["a function that throws", () => fail(), /does not match options\.parse$/],
    ["a function that rejects", async () => fail(), /does not match options\.parse$/],
    ["a schema's own method", (state) => STATE.parse(state), /: state\.turn, state\.notes\[1\]\.text$/],
    [
      "a schema that validates asynchronously",
      STATE.refine(async () => true),
      /: state\.turn, state\.notes\[1\]\.text$/,
    ],
  ])("may be %s", async (_, parse, message) => {
    await using storage = open(parse);
    const id = await storage.storeCheckpoint(checkpoint({ state: BAD }));
    const error = await storage.retrieveCheckpoint(id).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "STATE_MISMATCH", message: expect.stringMatching(message) });
    expect(inspect(error, { showHidden: true, depth: 20 })).not.toContain(CANARY);
  });

  test("may convert, and may be a function that has a schema's member", async () => {
    const callable = Object.assign(() => "not called", {
      "~standard": z.object({ a: z.coerce.string() })["~standard"],
    });
    await using storage = open(callable);
    const id = await storage.storeCheckpoint({ ...checkpoint(), state: { a: 1 } as never });
    expect((await storage.retrieveCheckpoint(id))?.state).toEqual({ a: "1" });
  });

  test.each([null, {}, "zod", { "~standard": 1 }, undefined])("is refused if it is %j", (parse) => {
    expect(() => scriptedStorage({ options: { parse } })).toThrow(/^expected options\.parse to be /);
  });
});

function fail(): never {
  throw new Error(CANARY);
}
