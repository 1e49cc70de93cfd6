import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, vi } from "vitest";
import { CheckpointError } from "../../src/contract/errors.ts";
import type { StorageEvents } from "../../src/contract/status.ts";
import type { Database } from "../../src/database/database.ts";
import { Emitter } from "../../src/database/events.ts";
import { resolveDatabaseOptions } from "../../src/database/options.ts";
import { Session } from "../../src/database/session.ts";
import { scriptedDialect } from "../scripted-dialect.ts";

/** Sessions on a scripted database, with timers that the test moves. */

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);

/** Fakes the timers of each test of a file, and checks after it that none is left and that no rejection was unhandled. */
export function fakeTimers(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    process.on("unhandledRejection", note);
  });
  afterEach(async () => {
    await turn(); // Node reports an unhandled rejection after the microtasks of its turn
    expect(vi.getTimerCount(), "timers left").toBe(0);
    vi.useRealTimers();
    process.off("unhandledRejection", note);
    expect(unhandled.splice(0)).toEqual([]);
  });
}

export type RawDatabaseOptions = Parameters<typeof resolveDatabaseOptions>[0];

export const newSession = (
  database: Database = scriptedDialect(),
  options: RawDatabaseOptions = {},
  events = new Emitter<StorageEvents>(),
  check?: () => Promise<void>,
) => new Session(database, resolveDatabaseOptions(options), events, check);

export const run = (session: Session, work: () => Promise<unknown> = async () => "done", signal?: AbortSignal) =>
  session.run("store checkpoint", signal, work);

/** Runs all timers, and returns the error that the call rejects with. */
export async function errorOf(call: Promise<unknown>): Promise<CheckpointError> {
  const outcome = call.then(
    () => expect.unreachable("the call succeeded"),
    (error: unknown) => error,
  );
  await vi.runAllTimersAsync();
  const error = await outcome;
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}
