import {
  type Dialect,
  type DomainSchema,
  forwardThrough,
  LABEL_READS,
  OUTBOX_READS,
  type OutboxChange,
  READS,
  rowBytes,
  SETTINGS,
  type SharedUse,
  writeBytes,
} from "@waymark/core/kit";
import type { PoolConnection } from "mysql2/promise";
import { type Connection, drizzleOn } from "../connection.ts";
import { databaseOn, limitBehind, tooLarge } from "../database.ts";
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

/** The checkpoints on a pool, as a dialect. */
export function createCheckpointDialect(connection: SharedUse<Connection>, options: ResolvedOptions): Dialect {
  const tables = checkpointTables(options.tablePrefix);
  /** By the session: the pool hands out another object each time. */
  const ofSession = new WeakMap<object, Statements>();

  function statementsOn(one: PoolConnection): Statements {
    const session: object = one.connection;
    const existing = ofSession.get(session);
    if (existing !== undefined) return existing;
    const db = drizzleOn(one);
    const [reads, outbox] = [new CheckpointReads(db, tables), new CheckpointOutbox(db, tables)];
    const settings = new CheckpointSettings(db, tables);
    const labels = new CheckpointLabels(db, tables);
    const commit = new CheckpointCommit(db, tables, reads, settings, labels, outbox);
    const statements = { reads, settings, labels, outbox, commit };
    ofSession.set(session, statements);
    return statements;
  }

  async function use<Result>(signal: AbortSignal, work: (statements: Statements) => Promise<Result>): Promise<Result> {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, (one) => work(statementsOn(one)));
  }

  const onReads = (signal: AbortSignal, work: (reads: CheckpointReads) => Promise<unknown>) =>
    use(signal, ({ reads }) => work(reads));
  const onSettings = (signal: AbortSignal, work: (settings: CheckpointSettings) => Promise<unknown>) =>
    use(signal, ({ settings }) => work(settings));
  const onLabels = (signal: AbortSignal, work: (labels: CheckpointLabels) => Promise<unknown>) =>
    use(signal, ({ labels }) => work(labels));
  const onOutbox = (signal: AbortSignal, work: (outbox: CheckpointOutbox) => Promise<unknown>) =>
    use(signal, ({ outbox }) => work(outbox));

  async function commit(change: OutboxChange, signal: AbortSignal): Promise<boolean> {
    try {
      return await use(signal, (statements) => statements.commit.commit(change));
    } catch (error) {
      const bytes = changeBytes(change);
      const maxBytes = await limitBehind(error, bytes, connection, signal);
      throw maxBytes !== null && bytes > maxBytes ? tooLarge("store checkpoint", bytes, maxBytes) : error;
    }
  }

  return {
    ...databaseOn(connection, CHECKPOINTS, options),
    commit,
    ...forwardThrough(onReads, READS),
    vacuum: async () => false, // InnoDB fills the room with new rows
    settings: forwardThrough(onSettings, SETTINGS),
    labels: forwardThrough(onLabels, LABEL_READS),
    outbox: {
      commit,
      ...forwardThrough(onOutbox, OUTBOX_READS),
    },
  };
}

function changeBytes({ insert = [], rewrite = [], insertTombstones = [], append = [] }: OutboxChange): number {
  const inserted = [...insert, ...insertTombstones].reduce((sum, row) => sum + rowBytes(row), 0);
  const appended = append.reduce((sum, write) => sum + writeBytes(write), inserted);
  return rewrite.reduce((sum, { state }) => sum + state.byteLength, appended);
}
