import type { Place } from "../databases.ts";

/** An agent's state after one of its turns, to be stored. */
export interface Step {
  readonly agentId: string;
  readonly turn: number;
  readonly state: Readonly<Record<string, unknown>>;
  /** The turn's change, for the systems whose framework is handed it. Absent: everything has changed. */
  readonly change?: {
    /** Members of the state that the turn has given new values. */
    readonly members: readonly string[];
    /** Messages that the turn has added to the member `messages`. */
    readonly added: readonly unknown[];
  };
}

/** A system that is opened on a database, connected and with its tables made. */
export interface Session {
  /** Resolves when the database has it durably, to the id that `retrieve` takes. */
  store(step: Step): Promise<string>;
  retrieve(agentId: string, id: string): Promise<unknown>;
  retrieveLatest(agentId: string): Promise<unknown>;
  /** Lists the newest checkpoints as the system's users do, and returns their number. */
  list(agentId: string, limit: number): Promise<number>;
  close(): Promise<void>;
}

/** A way to keep checkpoints, measured beside others. */
export interface System {
  readonly id: string;
  /** As the tables say it. */
  readonly title: string;
  /** The agent that it is measured with changes one live state, or makes a deeply frozen one each turn. */
  readonly states: "live" | "frozen";
  /** It only measures what a store costs at least: it keeps nothing that could be read. */
  readonly isFloor?: boolean;
  /** Its framework hands it the change, so that it has nothing to find out. */
  readonly isHandedTheChange?: boolean;
  /** The id of the system that this is the same as, but for the checkout that it comes from. */
  readonly twinOf?: string;
  /** @param fresh whether the place is empty, so that tables are to be made */
  open(place: Place, fresh: boolean): Promise<Session>;
}

/** A system that does not run here. */
export interface Absent {
  readonly id: string;
  readonly title: string;
  readonly absent: string;
}

/** Connections of a pool, where a system lets us choose: as many as the workloads have writers. */
export const POOL_SIZE = 32;

/** @throws if there is no value: a benchmark of something wrong is worthless */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new Error(`expected ${what}, got none`);
  return value;
}
