import type { RecordWork } from "@waymark/core/records";
import type { UUID } from "./contract.ts";

/** The tables as one agent's adapter uses them. The database is opened, and migrated, at the first call. */
export interface Database {
  /** The agent whose adapter this is. */
  readonly agentId: UUID;
  /** Runs work on the tables; it is run again after a fault that may pass. `operation` begins messages: "create memory". */
  run<Result>(operation: string, work: RecordWork<Result>): Promise<Result>;
  /** Returns whether work failed, within `run`, because a key is taken. */
  isDuplicate(error: unknown): boolean;
  /** Returns whether work failed, within `run`, because a row names one that is not there. */
  isForeignKey(error: unknown): boolean;
}
