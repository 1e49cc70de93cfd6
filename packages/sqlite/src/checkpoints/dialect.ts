import { CheckpointError } from "@waymark/core";
import {
  type Dialect,
  type DomainSchema,
  forwardThrough,
  LABEL_READS,
  Once,
  OUTBOX_READS,
  type OutboxChange,
  READS,
  SETTINGS,
  type SharedUse,
} from "@waymark/core/kit";
import { databaseOn } from "../database.ts";
import { drizzleOn, type Handle, vacuum } from "../handle.ts";
import type { ResolvedOptions } from "../options.ts";
import { CheckpointCommit } from "./commit.ts";
import { CheckpointLabels } from "./labels.ts";
import { migrations } from "./migrations.ts";
import { CheckpointOutbox } from "./outbox.ts";
import { CheckpointReads } from "./reads.ts";
import { checkpointTables, SCHEMA } from "./schema.ts";
import { CheckpointSettings } from "./settings.ts";

const CHECKPOINTS: DomainSchema = { ...SCHEMA, migrations };

interface Statements {
  readonly reads: CheckpointReads;
  readonly settings: CheckpointSettings;
  readonly labels: CheckpointLabels;
  readonly outbox: CheckpointOutbox;
  readonly commit: CheckpointCommit;
}

/** The checkpoints on a connection, as a dialect. */
export function createCheckpointDialect(connection: SharedUse<Handle>, options: ResolvedOptions): Dialect {
  const database = databaseOn(connection, CHECKPOINTS, options);
  const tables = checkpointTables(options.tablePrefix);
  const statements = new Once(async (signal) => createStatements(await connection.get(signal)));

  function createStatements(handle: Handle): Statements {
    const db = drizzleOn(handle);
    const [reads, outbox] = [new CheckpointReads(db, tables), new CheckpointOutbox(db, tables)];
    const settings = new CheckpointSettings(db, tables);
    const labels = new CheckpointLabels(db, tables);
    return {
      reads,
      settings,
      labels,
      outbox,
      commit: new CheckpointCommit(db, tables, reads, settings, labels, outbox),
    };
  }

  const onReads = async (signal: AbortSignal, work: (reads: CheckpointReads) => Promise<unknown>) =>
    await work((await statements.get(signal)).reads);
  const onSettings = async (signal: AbortSignal, work: (settings: CheckpointSettings) => Promise<unknown>) =>
    await work((await statements.get(signal)).settings);
  const onLabels = async (signal: AbortSignal, work: (labels: CheckpointLabels) => Promise<unknown>) =>
    await work((await statements.get(signal)).labels);
  const onOutbox = async (signal: AbortSignal, work: (outbox: CheckpointOutbox) => Promise<unknown>) =>
    await work((await statements.get(signal)).outbox);

  async function commit(change: OutboxChange, signal: AbortSignal): Promise<boolean> {
    const { commit: statement } = await statements.get(signal);
    // Ours never outlast a call. What was stored within the user's own transaction would go when that is rolled back.
    if ((await connection.get(signal)).database.inTransaction) {
      throw new CheckpointError("CONTENTION", "commit: options.database is within a transaction of its owner");
    }
    return statement.commit(change);
  }

  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      statements.forget(); // again, if the tables were gone
      await statements.get(signal);
      return opened;
    },
    commit,
    ...forwardThrough(onReads, READS),
    async vacuum(signal) {
      await statements.get(signal);
      return vacuum(await connection.get(signal));
    },
    settings: forwardThrough(onSettings, SETTINGS),
    labels: forwardThrough(onLabels, LABEL_READS),
    outbox: {
      commit,
      ...forwardThrough(onOutbox, OUTBOX_READS),
    },
  };
}
