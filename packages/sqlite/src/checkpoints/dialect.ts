import { CheckpointError } from "@waymark/core";
import {
  type Dialect,
  type DomainSchema,
  forwardThrough,
  LABEL_READS,
  OUTBOX_READS,
  type OutboxChange,
  READS,
  SETTINGS,
  type SharedUse,
} from "@waymark/core/kit";
import { databaseOn, openHandle } from "../database.ts";
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
  readonly handle: Handle;
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
  let prepared: Statements | null = null;

  async function statements(signal: AbortSignal): Promise<Statements> {
    const handle = await openHandle(connection, signal);
    if (prepared?.handle !== handle) prepared = createStatements(handle);
    return prepared;
  }

  function createStatements(handle: Handle): Statements {
    const db = drizzleOn(handle);
    const [reads, outbox] = [new CheckpointReads(db, tables), new CheckpointOutbox(db, tables)];
    const settings = new CheckpointSettings(db, tables);
    const labels = new CheckpointLabels(db, tables);
    return {
      handle,
      reads,
      settings,
      labels,
      outbox,
      commit: new CheckpointCommit(db, tables, reads, settings, labels, outbox),
    };
  }

  const onReads = async (signal: AbortSignal, work: (reads: CheckpointReads) => Promise<unknown>) =>
    await work((await statements(signal)).reads);
  const onSettings = async (signal: AbortSignal, work: (settings: CheckpointSettings) => Promise<unknown>) =>
    await work((await statements(signal)).settings);
  const onLabels = async (signal: AbortSignal, work: (labels: CheckpointLabels) => Promise<unknown>) =>
    await work((await statements(signal)).labels);
  const onOutbox = async (signal: AbortSignal, work: (outbox: CheckpointOutbox) => Promise<unknown>) =>
    await work((await statements(signal)).outbox);

  async function commit(change: OutboxChange, signal: AbortSignal): Promise<boolean> {
    const { handle, commit: statement } = await statements(signal);
    // Ours never outlast a call. What was stored within the user's own transaction would go when that is rolled back.
    if (handle.inTransaction()) {
      throw new CheckpointError("CONTENTION", "commit: options.database is within a transaction of its owner");
    }
    return statement.commit(change);
  }

  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      prepared = null; // again, if the tables were gone
      await statements(signal);
      return opened;
    },
    commit,
    ...forwardThrough(onReads, READS),
    vacuum: async (signal) => vacuum((await statements(signal)).handle),
    settings: forwardThrough(onSettings, SETTINGS),
    labels: forwardThrough(onLabels, LABEL_READS),
    outbox: {
      commit,
      ...forwardThrough(onOutbox, OUTBOX_READS),
    },
  };
}
