// Generated from migrations/ by scripts/compile-migrations.mjs: run `npm run db:generate`, don't edit.
import type { Migration } from "@waymark/core/kit";

export const migrations: readonly Migration[] = [
  {
    name: "0000_initial",
    minimumReader: 1,
    statements: [
      `CREATE TABLE "agent_checkpoints" (
	"id" uuid PRIMARY KEY NOT NULL,
	"agent_id" text COLLATE "C" NOT NULL,
	"namespace" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C" NOT NULL,
	"parent_id" uuid,
	"after_id" uuid,
	"base_id" uuid,
	"created_at" bigint NOT NULL,
	"metadata" text COLLATE "C",
	"encoding" text COLLATE "C" NOT NULL,
	"state_bytes" bigint NOT NULL,
	"digest" "bytea" NOT NULL,
	"pending" bigint,
	"state" "bytea" NOT NULL
)`,
      `ALTER TABLE "agent_checkpoints" ADD CONSTRAINT "agent_checkpoints_base_fk" FOREIGN KEY ("base_id") REFERENCES "public"."agent_checkpoints"("id") ON DELETE no action ON UPDATE no action`,
      `CREATE INDEX "agent_checkpoints_by_agent" ON "agent_checkpoints" USING btree ("agent_id","id")`,
      `CREATE INDEX "agent_checkpoints_by_namespace" ON "agent_checkpoints" USING btree ("agent_id","namespace","id")`,
      `CREATE UNIQUE INDEX "agent_checkpoints_after" ON "agent_checkpoints" USING btree ("agent_id","namespace","after_id") WHERE after_id is not null`,
      `CREATE INDEX "agent_checkpoints_base" ON "agent_checkpoints" USING btree ("base_id") WHERE base_id is not null`,
      `CREATE INDEX "agent_checkpoints_pending" ON "agent_checkpoints" USING btree ("pending") WHERE pending is not null`,
    ],
  },
  {
    name: "0001_writes",
    minimumReader: 1,
    statements: [
      `CREATE TABLE "agent_checkpoint_writes" (
	"checkpoint_id" uuid NOT NULL,
	"task_id" text COLLATE "C" NOT NULL,
	"write_index" integer NOT NULL,
	"write_rank" uuid NOT NULL,
	"channel" text COLLATE "C" NOT NULL,
	"task_path" text COLLATE "C" NOT NULL,
	"encoding" text COLLATE "C" NOT NULL,
	"state_bytes" bigint NOT NULL,
	"digest" "bytea" NOT NULL,
	"state" "bytea" NOT NULL,
	CONSTRAINT "agent_checkpoint_writes_pk" PRIMARY KEY("checkpoint_id","task_id","write_index")
)`,
      `ALTER TABLE "agent_checkpoint_writes" ADD CONSTRAINT "agent_checkpoint_writes_fk" FOREIGN KEY ("checkpoint_id") REFERENCES "public"."agent_checkpoints"("id") ON DELETE cascade ON UPDATE no action`,
    ],
  },
  {
    name: "0002_settings",
    minimumReader: 1,
    statements: [
      `CREATE TABLE "agent_checkpoint_settings" (
	"name" text COLLATE "C" PRIMARY KEY NOT NULL,
	"value" text COLLATE "C" NOT NULL
)`,
      `INSERT INTO "agent_checkpoint_settings" ("name", "value") VALUES ('replicated', 'no')`,
    ],
  },
  {
    name: "0003_labels",
    minimumReader: 1,
    statements: [
      `CREATE TABLE "agent_checkpoint_labels" (
	"label" uuid NOT NULL,
	"checkpoint_id" uuid NOT NULL,
	"agent_id" text COLLATE "C" NOT NULL,
	CONSTRAINT "agent_checkpoint_labels_pk" PRIMARY KEY("label","checkpoint_id")
)`,
      `ALTER TABLE "agent_checkpoint_labels" ADD CONSTRAINT "agent_checkpoint_labels_fk" FOREIGN KEY ("checkpoint_id") REFERENCES "public"."agent_checkpoints"("id") ON DELETE cascade ON UPDATE no action`,
      `CREATE INDEX "agent_checkpoint_labels_by_agent" ON "agent_checkpoint_labels" USING btree ("label","agent_id")`,
      `CREATE INDEX "agent_checkpoint_labels_by_checkpoint" ON "agent_checkpoint_labels" USING btree ("checkpoint_id")`,
    ],
  },
];
