import type { DomainSchema } from "@waymark/core/kit";
import { getTableColumns, getTableName, sql } from "drizzle-orm";
import {
  type AnySQLiteColumn,
  customType,
  foreignKey,
  index,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";

/** A UUID as its 16 bytes, which order as the UUID's text does. `null` passes too: prepared statements hand it in. */
const uuid = customType<{ data: string; driverData: Buffer | null }>({
  dataType: () => "blob",
  toDriver: (id: string | null) => (id === null ? null : Buffer.from(id.replaceAll("-", ""), "hex")),
  fromDriver: (bytes) => {
    const { buffer, byteOffset, byteLength } = bytes as Uint8Array;
    const hex = Buffer.from(buffer, byteOffset, byteLength).toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
});

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => "blob" });

/** A whole number up to 2^53. A handle that a user hands in may be set to return bigints. */
const count = customType<{ data: number; driverData: number | bigint }>({
  dataType: () => "integer",
  fromDriver: Number,
});

/** Checkpoints. Text compares byte for byte: SQLite's default collation, BINARY. */
function checkpointsTable(tablePrefix: string) {
  const name = `${tablePrefix}agent_checkpoints`;
  return sqliteTable(
    name,
    {
      id: uuid("id").primaryKey(),
      agentId: text("agent_id").notNull(),
      namespace: text("namespace").notNull(),
      name: text("name").notNull(),
      parentId: uuid("parent_id"),
      afterId: uuid("after_id"),
      baseId: uuid("base_id"),
      createdAt: count("created_at").notNull(),
      metadata: text("metadata"),
      encoding: text("encoding").notNull(),
      stateBytes: count("state_bytes").notNull(),
      digest: bytes("digest").notNull(),
      pending: count("pending"),
      // Last, since SQLite walks through a large value to reach the columns behind it, and lists read all but this one.
      state: bytes("state").notNull(),
    },
    (table): ReturnType<typeof constraints> => constraints(name, table),
  );
}

type Columns = Record<"id" | "agentId" | "namespace" | "afterId" | "baseId" | "pending", AnySQLiteColumn>;

function constraints(name: string, table: Columns) {
  return [
    // One column on purpose: see docs/internals/chains.md, "Safety by foreign key".
    foreignKey({ name: `${name}_base_fk`, columns: [table.baseId], foreignColumns: [table.id] }),
    index(`${name}_by_agent`).on(table.agentId, table.id),
    index(`${name}_by_namespace`).on(table.agentId, table.namespace, table.id),
    uniqueIndex(`${name}_after`).on(table.agentId, table.namespace, table.afterId).where(sql`after_id is not null`),
    index(`${name}_base`).on(table.baseId).where(sql`base_id is not null`),
    index(`${name}_pending`).on(table.pending).where(sql`pending is not null`),
  ];
}

export type CheckpointsTable = ReturnType<typeof checkpointsTable>;

/** Task writes. They are removed with their checkpoint. */
function writesTable(checkpoints: CheckpointsTable, tablePrefix: string) {
  const name = `${tablePrefix}agent_checkpoint_writes`;
  return sqliteTable(
    name,
    {
      checkpointId: uuid("checkpoint_id").notNull(),
      taskId: text("task_id").notNull(),
      index: count("write_index").notNull(),
      rank: uuid("write_rank").notNull(),
      channel: text("channel").notNull(),
      taskPath: text("task_path").notNull(),
      encoding: text("encoding").notNull(),
      stateBytes: count("state_bytes").notNull(),
      digest: bytes("digest").notNull(),
      state: bytes("state").notNull(),
    },
    (table): ReturnType<typeof writeConstraints> => writeConstraints(name, table, checkpoints),
  );
}

type WriteColumns = Record<"checkpointId" | "taskId" | "index", AnySQLiteColumn>;

function writeConstraints(name: string, table: WriteColumns, checkpoints: CheckpointsTable) {
  return [
    primaryKey({ name: `${name}_pk`, columns: [table.checkpointId, table.taskId, table.index] }),
    foreignKey({
      name: `${name}_fk`,
      columns: [table.checkpointId],
      foreignColumns: [checkpoints.id],
    }).onDelete("cascade"),
  ];
}

export type WritesTable = ReturnType<typeof writesTable>;

/** Settings of the database: values by their names. */
function settingsTable(tablePrefix: string) {
  return sqliteTable(`${tablePrefix}agent_checkpoint_settings`, {
    name: text("name").primaryKey(),
    value: text("value").notNull(),
  });
}

export type SettingsTable = ReturnType<typeof settingsTable>;

/** The index of labels: the rows that have a label, by the label's digest. They are removed with their checkpoint. */
function labelsTable(checkpoints: CheckpointsTable, tablePrefix: string) {
  const name = `${tablePrefix}agent_checkpoint_labels`;
  return sqliteTable(
    name,
    {
      label: uuid("label").notNull(),
      checkpointId: uuid("checkpoint_id").notNull(),
      agentId: text("agent_id").notNull(),
    },
    (table): ReturnType<typeof labelConstraints> => labelConstraints(name, table, checkpoints),
  );
}

type LabelColumns = Record<"label" | "checkpointId" | "agentId", AnySQLiteColumn>;

function labelConstraints(name: string, table: LabelColumns, checkpoints: CheckpointsTable) {
  return [
    primaryKey({ name: `${name}_pk`, columns: [table.label, table.checkpointId] }),
    foreignKey({
      name: `${name}_fk`,
      columns: [table.checkpointId],
      foreignColumns: [checkpoints.id],
    }).onDelete("cascade"),
    index(`${name}_by_agent`).on(table.label, table.agentId),
    index(`${name}_by_checkpoint`).on(table.checkpointId),
  ];
}

export type LabelsTable = ReturnType<typeof labelsTable>;

/** The tables of checkpoints. */
export interface Tables {
  readonly checkpoints: CheckpointsTable;
  readonly writes: WritesTable;
  readonly settings: SettingsTable;
  readonly labels: LabelsTable;
}

export function checkpointTables(tablePrefix: string): Tables {
  const checkpoints = checkpointsTable(tablePrefix);
  return {
    checkpoints,
    writes: writesTable(checkpoints, tablePrefix),
    settings: settingsTable(tablePrefix),
    labels: labelsTable(checkpoints, tablePrefix),
  };
}

const { checkpoints, writes, settings, labels } = checkpointTables("");

/** For drizzle-kit, which generates the migrations from them. */
export {
  checkpoints as agentCheckpoints,
  labels as agentCheckpointLabels,
  settings as agentCheckpointSettings,
  writes as agentCheckpointWrites,
};

/** The schema of checkpoints, without its migrations, which are generated from it. */
export const SCHEMA: Omit<DomainSchema, "migrations"> = {
  history: "waymark_migrations",
  stem: "agent_checkpoint",
  tables: [checkpoints, writes, settings, labels].map((table) => ({
    name: getTableName(table),
    columns: Object.values(getTableColumns(table)).map(({ name }) => name),
  })),
};
