import type { DomainSchema } from "@waymark/core/kit";
import { getTableColumns, getTableName } from "drizzle-orm";
import {
  type AnyMySqlColumn,
  customType,
  foreignKey,
  index,
  int,
  mysqlTable,
  primaryKey,
  uniqueIndex,
} from "drizzle-orm/mysql-core";

/** A UUID as its 16 bytes, which order as the UUID's text does. */
const uuid = customType<{ data: string; driverData: Buffer }>({
  dataType: () => "binary(16)",
  toDriver: (id) => Buffer.from(id.replaceAll("-", ""), "hex"),
  fromDriver: (bytes) => {
    const hex = bytes.toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
});

/** Text as its UTF-8 bytes. Every collation takes some different texts for the same, if only by their trailing spaces. */
const text = customType<{ data: string; driverData: Buffer; config: { type: string }; configRequired: true }>({
  dataType: ({ type }) => type,
  toDriver: (value) => Buffer.from(value, "utf8"),
  fromDriver: (bytes) => bytes.toString("utf8"),
});

const bytes = customType<{ data: Uint8Array; driverData: Buffer; config: { type: string }; configRequired: true }>({
  dataType: ({ type }) => type,
  toDriver: (value) => Buffer.from(value.buffer, value.byteOffset, value.byteLength),
});

/** A whole number up to 2^53. A pool that a user hands in may be set to return strings. */
const count = customType<{ data: number; driverData: number | string }>({
  dataType: () => "bigint",
  fromDriver: Number,
});

function checkpointsTable(tablePrefix: string) {
  const name = `${tablePrefix}agent_checkpoints`;
  return mysqlTable(
    name,
    {
      id: uuid("id").primaryKey(),
      agentId: text("agent_id", { type: "varbinary(255)" }).notNull(),
      namespace: text("namespace", { type: "varbinary(1024)" }).notNull(),
      name: text("name", { type: "blob" }).notNull(),
      parentId: uuid("parent_id"),
      afterId: uuid("after_id"),
      baseId: uuid("base_id"),
      createdAt: count("created_at").notNull(),
      metadata: text("metadata", { type: "blob" }),
      encoding: text("encoding", { type: "varbinary(64)" }).notNull(),
      stateBytes: count("state_bytes").notNull(),
      digest: bytes("digest", { type: "binary(32)" }).notNull(),
      pending: count("pending"),
      state: bytes("state", { type: "longblob" }).notNull(),
    },
    (table): ReturnType<typeof constraints> => constraints(name, table),
  );
}

type Columns = Record<"id" | "agentId" | "namespace" | "afterId" | "baseId" | "pending", AnyMySqlColumn>;

function constraints(name: string, table: Columns) {
  return [
    // One column on purpose: see docs/internals/chains.md, "Safety by foreign key".
    foreignKey({ name: `${name}_base_fk`, columns: [table.baseId], foreignColumns: [table.id] }),
    index(`${name}_by_agent`).on(table.agentId, table.id),
    index(`${name}_by_namespace`).on(table.agentId, table.namespace, table.id),
    uniqueIndex(`${name}_after`).on(table.agentId, table.namespace, table.afterId),
    index(`${name}_base`).on(table.baseId),
    index(`${name}_pending`).on(table.pending),
  ];
}

export type CheckpointsTable = ReturnType<typeof checkpointsTable>;

/** Task writes. They are removed with their checkpoint. */
function writesTable(checkpoints: CheckpointsTable, tablePrefix: string) {
  const name = `${tablePrefix}agent_checkpoint_writes`;
  return mysqlTable(
    name,
    {
      checkpointId: uuid("checkpoint_id").notNull(),
      taskId: text("task_id", { type: "varbinary(255)" }).notNull(),
      index: int("write_index").notNull(),
      rank: uuid("write_rank").notNull(),
      channel: text("channel", { type: "varbinary(1024)" }).notNull(),
      taskPath: text("task_path", { type: "blob" }).notNull(),
      encoding: text("encoding", { type: "varbinary(64)" }).notNull(),
      stateBytes: count("state_bytes").notNull(),
      digest: bytes("digest", { type: "binary(32)" }).notNull(),
      state: bytes("state", { type: "longblob" }).notNull(),
    },
    (table): ReturnType<typeof writeConstraints> => writeConstraints(name, table, checkpoints),
  );
}

type WriteColumns = Record<"checkpointId" | "taskId" | "index", AnyMySqlColumn>;

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
  return mysqlTable(`${tablePrefix}agent_checkpoint_settings`, {
    name: text("name", { type: "varbinary(255)" }).primaryKey(),
    value: text("value", { type: "blob" }).notNull(),
  });
}

export type SettingsTable = ReturnType<typeof settingsTable>;

/** The index of labels: the rows that have a label, by the label's digest. They are removed with their checkpoint. */
function labelsTable(checkpoints: CheckpointsTable, tablePrefix: string) {
  const name = `${tablePrefix}agent_checkpoint_labels`;
  return mysqlTable(
    name,
    {
      label: uuid("label").notNull(),
      checkpointId: uuid("checkpoint_id").notNull(),
      agentId: text("agent_id", { type: "varbinary(255)" }).notNull(),
    },
    (table): ReturnType<typeof labelConstraints> => labelConstraints(name, table, checkpoints),
  );
}

type LabelColumns = Record<"label" | "checkpointId" | "agentId", AnyMySqlColumn>;

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
