/** `npm run faults` sets it: all of the numbers that are promised. Without it, every fault and pair, and fewer stores. */
export const full = process.env["WAYMARK_FAULTS"] === "full";

export interface Scale {
  /** How many stores each of the 16 agents makes in a scenario. */
  readonly turns: number;
  /** How often main is killed and started again. */
  readonly serverKills: number;
  readonly connectionKills: number;
  /** How often the network does what it does to connections. */
  readonly cuts: number;
  /** How often each client process is killed. */
  readonly clientKills: number;
  /** The deadline of one operation. */
  readonly operationTimeoutMs: number;
}

export const scale: Scale = full
  ? { turns: 125, serverKills: 5, connectionKills: 50, cuts: 10, clientKills: 20, operationTimeoutMs: 3_000 }
  : { turns: 13, serverKills: 2, connectionKills: 10, cuts: 2, clientKills: 2, operationTimeoutMs: 1_500 };

export const PROCESSES = 2;
export const AGENTS_PER_PROCESS = 8;
