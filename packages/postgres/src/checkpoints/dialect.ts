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
import type { Sql } from "postgres";
import { drizzleOn } from "../client.ts";
import type { Connection } from "../connection.ts";
import { databaseOn } from "../database.ts";
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

/** The checkpoints on a client, as a dialect. */
export function createCheckpointDialect(connection: SharedUse<Connection>, options: ResolvedOptions): Dialect {
  const tables = checkpointTables(options.tablePrefix, options.schema);
  /** A client is replaced when it is stuck. */
  const ofClient = new WeakMap<Sql, Statements>();

  function statementsOn(client: Sql): Statements {
    const existing = ofClient.get(client);
    if (existing !== undefined) return existing;
    const db = drizzleOn(client, options.prepare);
    const [reads, outbox] = [new CheckpointReads(db, tables), new CheckpointOutbox(db, tables)];
    const settings = new CheckpointSettings(db, tables);
    const labels = new CheckpointLabels(db, tables);
    const commit = new CheckpointCommit(db, tables, reads, settings, labels, outbox);
    const statements = { reads, settings, labels, outbox, commit };
    ofClient.set(client, statements);
    return statements;
  }

  async function use<Result>(signal: AbortSignal, work: (statements: Statements) => Promise<Result>): Promise<Result> {
    const { use: useClient } = await connection.get(signal);
    return await useClient(signal, (client) => work(statementsOn(client)));
  }

  const onReads = (signal: AbortSignal, work: (reads: CheckpointReads) => Promise<unknown>) =>
    use(signal, ({ reads }) => work(reads));
  const onSettings = (signal: AbortSignal, work: (settings: CheckpointSettings) => Promise<unknown>) =>
    use(signal, ({ settings }) => work(settings));
  const onLabels = (signal: AbortSignal, work: (labels: CheckpointLabels) => Promise<unknown>) =>
    use(signal, ({ labels }) => work(labels));
  const onOutbox = (signal: AbortSignal, work: (outbox: CheckpointOutbox) => Promise<unknown>) =>
    use(signal, ({ outbox }) => work(outbox));
  const commit = (change: OutboxChange, signal: AbortSignal) =>
    use(signal, (statements) => statements.commit.commit(change));

  return {
    ...databaseOn(connection, CHECKPOINTS, options),
    commit,
    ...forwardThrough(onReads, READS),
    vacuum: async () => false, // autovacuum makes room for new rows
    settings: forwardThrough(onSettings, SETTINGS),
    labels: forwardThrough(onLabels, LABEL_READS),
    outbox: {
      commit,
      ...forwardThrough(onOutbox, OUTBOX_READS),
    },
  };
}
