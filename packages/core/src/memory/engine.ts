import type { StorageEvents } from "../contract/status.ts";
import { Emitter } from "../database/events.ts";
import { refuseClosed, Session } from "../database/session.ts";
import type { Step } from "../records/records.ts";
import type { MemoryDialect } from "./dialect.ts";
import { LongCalls } from "./long-calls.ts";
import type { ResolvedMemoryOptions } from "./options.ts";

/** The memory engine on one database. Its functions take checked arguments; the public face, `storage.ts`, checks them. */
export interface MemoryEngine {
  readonly dialect: MemoryDialect;
  readonly session: Pick<Session, "run" | "runUnopened" | "ping" | "status" | "isDuplicate" | "isForeignKey" | "close">;
  readonly longCalls: LongCalls;
  readonly events: Emitter<StorageEvents>;
  readonly options: ResolvedMemoryOptions;
}

export function createMemoryEngine(dialect: MemoryDialect, options: ResolvedMemoryOptions): MemoryEngine {
  const events = new Emitter<StorageEvents>();
  const session = new Session(dialect, options, events);
  return { dialect, session, longCalls: new LongCalls(), events, options };
}

/** Returns an engine that refuses all calls, while those that the other one has accepted go on. */
export function refusing({ session, ...engine }: MemoryEngine): MemoryEngine {
  return {
    ...engine,
    session: {
      run: refuseClosed,
      runUnopened: refuseClosed,
      ping: () => refuseClosed("check health"),
      status: () => session.status(),
      isDuplicate: (error) => session.isDuplicate(error),
      isForeignKey: (error) => session.isForeignKey(error),
      close: () => session.close(),
    },
  };
}

/** Commits a plan. `false`: another client has changed what it was made on. */
export async function tryChange(
  { dialect, session }: MemoryEngine,
  steps: readonly Step[],
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return (await dialect.records.change(steps, signal)) !== null;
  } catch (error) {
    if (session.isDuplicate(error)) return false;
    throw error;
  }
}

/** Items of one commit, where many are removed. */
export const REMOVED_AT_ONCE = 500;

/** Terms of one commit, where many items are removed: their texts are analyzed, and their postings removed, well before a call's deadline. */
export const TERMS_REMOVED_AT_ONCE = 100_000;

/** Attempts of a change whose rows other clients change meanwhile. Each attempt that fails is one that another client made. */
export const MAX_ATTEMPTS = 200;
