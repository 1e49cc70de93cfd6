import { expect, onTestFinished, test } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { checkpoint, codeOf, type ScriptedStorageOptions, scriptedStorage } from "../scripted-storage.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
/** The id of a process whose clock is an hour ahead. */
const AHEAD = `${(Date.now() + 3_600_000).toString(16).padStart(12, "0").replace(/^.{8}/, "$&-")}-7c0a-9a53-0d2f7f6f7a11`;

function open(options: ScriptedStorageOptions = {}) {
  const opened = scriptedStorage(options);
  onTestFinished(async () => void (await opened.storage.close()));
  return opened;
}

test("what is restored is the latest, also after a checkpoint of a process whose clock is ahead", async () => {
  const { storage, dialect } = open();
  await storage.storeCheckpoint(checkpoint({ id: ID }));
  dialect.rows.set(AHEAD, { ...(dialect.rows.get(ID) as Row), id: AHEAD });
  const id = await storage.restoreCheckpoint(ID);
  expect(id > AHEAD).toBe(true);
  expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
});

test("a state that cannot be read is not restored", async () => {
  const { storage, dialect } = open({ options: { cacheBytes: 0 } });
  await storage.storeCheckpoint(checkpoint({ id: ID }));
  dialect.rows.set(ID, { ...(dialect.rows.get(ID) as Row), state: Buffer.from("[1]"), stateBytes: 3 });
  const error = await storage.restoreCheckpoint(ID).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: "CORRUPT_CHECKPOINT",
    message: expect.stringMatching(`^restore checkpoint: ${ID}`),
  });
  expect(dialect.rows.size).toBe(1);
});

test("wrong options are refused, and an agent or a latest that is undefined", async () => {
  const { storage } = open();
  await storage.storeCheckpoint(checkpoint({ id: ID }));
  for (const options of [
    { agentId: undefined },
    { agentId: "" },
    { ifLatest: undefined },
    { ifLatest: "x" },
    { name: "turn" },
    { signal: {} },
  ]) {
    expect(await codeOf(storage.restoreCheckpoint(ID, options as never))).toBe("INVALID_ARGUMENT");
  }
  expect(await codeOf(storage.restoreCheckpoint(7 as never))).toBe("INVALID_ARGUMENT");
});
