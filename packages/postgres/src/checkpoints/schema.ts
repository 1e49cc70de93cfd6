import type { DomainSchema } from "@waymark/core/kit";
import { getTableColumns, getTableName, sql } from "drizzle-orm";
import {
  type AnyPgColumn,
  bigint,
  customType,
  foreignKey,
  index,
  integer,
  PgSchema,
  type PgTableFn,
  pgTable,
  primaryKey,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";

/** Compares and orders byte for byte, whatever the database's own collation is. */
const text = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => "bytea" });

/** Not `pgSchema()`, which refuses `public`: naming it too makes us independent of the role's search path. */
function tablesIn(schema: string | null): PgTableFn<string> {
  return (schema === null ? pgTable : new PgSchema(schema).table) as PgTableFn<string>;
}

function checkpointsTable(tablePrefix: string, schema: string | null) {
  const name = `${tablePrefix}agent_checkpoints`;
  return tablesIn(schema)(
    name,
    {
      id: uuid("id").primaryKey(),
      agentId: text("agent_id").notNull(),
      namespace: text("namespace").notNull(),
      name: text("name").notNull(),
      parentId: uuid("parent_id"),
      afterId: uuid("after_id"),
      baseId: uuid("base_id"),
      createdAt: bigint("created_at", { mode: "number" }).notNull(),
      metadata: text("metadata"),
      encoding: text("encoding").notNull(),
      stateBytes: bigint("state_bytes", { mode: "number" }).notNull(),
      digest: bytes("digest").notNull(),
      pending: bigint("pending", { mode: "number" }),
      state: bytes("state").notNull(),
    },
    (table): ReturnType<typeof constraints> => constraints(name, table),
  );
}

type Columns = Record<"id" | "agentId" | "namespace" | "afterId" | "baseId" | "pending", AnyPgColumn>;

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
function writesTable(checkpoints: CheckpointsTable, tablePrefix: string, schema: string | null) {
  const name = `${tablePrefix}agent_checkpoint_writes`;
  return tablesIn(schema)(
    name,
    {
      checkpointId: uuid("checkpoint_id").notNull(),
      taskId: text("task_id").notNull(),
      index: integer("write_index").notNull(),
      rank: uuid("write_rank").notNull(),
      channel: text("channel").notNull(),
      taskPath: text("task_path").notNull(),
      encoding: text("encoding").notNull(),
      stateBytes: bigint("state_bytes", { mode: "number" }).notNull(),
      digest: bytes("digest").notNull(),
      state: bytes("state").notNull(),
    },
    (table): ReturnType<typeof writeConstraints> => writeConstraints(name, table, checkpoints),
  );
}

type WriteColumns = Record<"checkpointId" | "taskId" | "index", AnyPgColumn>;

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
function settingsTable(tablePrefix: string, schema: string | null) {
  return tablesIn(schema)(`${tablePrefix}agent_checkpoint_settings`, {
    name: text("name").primaryKey(),
    value: text("value").notNull(),
  });
}

export type SettingsTable = ReturnType<typeof settingsTable>;

/** The index of labels: the rows that have a label, by the label's digest. They are removed with their checkpoint. */
function labelsTable(checkpoints: CheckpointsTable, tablePrefix: string, schema: string | null) {
  const name = `${tablePrefix}agent_checkpoint_labels`;
  return tablesIn(schema)(
    name,
    {
      label: uuid("label").notNull(),
      checkpointId: uuid("checkpoint_id").notNull(),
      agentId: text("agent_id").notNull(),
    },
    (table): ReturnType<typeof labelConstraints> => labelConstraints(name, table, checkpoints),
  );
}

type LabelColumns = Record<"label" | "checkpointId" | "agentId", AnyPgColumn>;

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

/** @param schema the PostgreSQL schema that they are in; `null`: whatever the search path says, for migrations */
export function checkpointTables(tablePrefix: string, schema: string | null): Tables {
  const checkpoints = checkpointsTable(tablePrefix, schema);
  return {
    checkpoints,
    writes: writesTable(checkpoints, tablePrefix, schema),
    settings: settingsTable(tablePrefix, schema),
    labels: labelsTable(checkpoints, tablePrefix, schema),
  };
}

const { checkpoints, writes, settings, labels } = checkpointTables("", null);

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
