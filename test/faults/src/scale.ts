/** True in `npm run faults`: the numbers of docs/reliability.md. Otherwise each fault runs with fewer stores. */
export const full = process.env["WAYMARK_FAULTS"] === "full";

export interface Scale {
  /** Number of turns that each of the 16 agents makes in a scenario. */
  readonly turns: number;
  /** Number of times that main is killed and started again. */
  readonly serverKills: number;
  readonly connectionKills: number;
  /** Number of times that the network cuts connections. */
  readonly cuts: number;
  /** Number of times that client processes are killed. */
  readonly clientKills: number;
  /** Deadline of one operation. */
  readonly operationTimeoutMs: number;
}

export const scale: Scale = full
  ? { turns: 125, serverKills: 5, connectionKills: 50, cuts: 10, clientKills: 20, operationTimeoutMs: 3_000 }
  : { turns: 8, serverKills: 2, connectionKills: 10, cuts: 2, clientKills: 2, operationTimeoutMs: 1_500 };

export const PROCESSES = 2;
export const AGENTS_PER_PROCESS = 8;
