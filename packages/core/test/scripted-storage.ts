import type { OutboxChange } from "../src/checkpoints/dialect.ts";
import type { CheckpointStorage, NamedAgentCheckpoint } from "../src/contract/checkpoints.ts";
import { CheckpointError } from "../src/contract/errors.ts";
import { createStorage, resolveStorageOptions } from "../src/create-storage.ts";
import { type Script, type ScriptedDialect, scriptedDialect, type Tables } from "./scripted-dialect.ts";

/** A storage on a scripted dialect, with what a test looks at. */
export interface ScriptedStorage {
  readonly storage: CheckpointStorage;
  readonly dialect: ScriptedDialect;
  /** The changes that were to be committed so far. */
  readonly changes: OutboxChange[];
}

export interface ScriptedStorageOptions {
  readonly script?: Script;
  readonly options?: Parameters<typeof resolveStorageOptions>[0];
  /** Tables that other processes have written to. */
  readonly tables?: Partial<Tables>;
  /** Called before each commit; the commit fails with its error. */
  beforeCommit?(change: OutboxChange): void;
}

export function scriptedStorage(given: ScriptedStorageOptions = {}): ScriptedStorage {
  const { script = {}, options, tables = scriptedDialect(), beforeCommit = () => {} } = given;
  const changes: OutboxChange[] = [];
  const { commit = scriptedDialect({}, tables).commit } = script;
  const dialect = scriptedDialect(
    {
      ...script,
      commit: async (change, signal) => {
        changes.push(change);
        beforeCommit(change);
        return await commit(change, signal);
      },
    },
    tables,
  );
  return { storage: createStorage(dialect, resolveStorageOptions(options)), dialect, changes };
}

export const checkpoint = (members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint => ({
  agentId: "agent",
  name: "turn",
  state: { a: 1 },
  createdAt: 7,
  ...members,
});

/** Returns the code of the error that a call rejects with; an error that is not ours as text. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "(no error)",
    (error: unknown) => (error instanceof CheckpointError ? error.code : String(error)),
  );
}
