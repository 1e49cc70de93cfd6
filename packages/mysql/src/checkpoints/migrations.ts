// Generated from migrations/ by scripts/compile-migrations.mjs: run `npm run db:generate`, don't edit.
import type { Migration } from "@waymark/core/kit";

export const migrations: readonly Migration[] = [
  {
    name: "0000_initial",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoints\` (
	\`id\` binary(16) NOT NULL,
	\`agent_id\` varbinary(255) NOT NULL,
	\`namespace\` varbinary(1024) NOT NULL,
	\`name\` blob NOT NULL,
	\`parent_id\` binary(16),
	\`after_id\` binary(16),
	\`base_id\` binary(16),
	\`created_at\` bigint NOT NULL,
	\`metadata\` blob,
	\`encoding\` varbinary(64) NOT NULL,
	\`state_bytes\` bigint NOT NULL,
	\`digest\` binary(32) NOT NULL,
	\`pending\` bigint,
	\`state\` longblob NOT NULL,
	CONSTRAINT \`agent_checkpoints_id\` PRIMARY KEY(\`id\`),
	CONSTRAINT \`agent_checkpoints_after\` UNIQUE(\`agent_id\`,\`namespace\`,\`after_id\`)
)`,
      "ALTER TABLE `agent_checkpoints` ADD CONSTRAINT `agent_checkpoints_base_fk` FOREIGN KEY (`base_id`) REFERENCES `agent_checkpoints`(`id`) ON DELETE no action ON UPDATE no action",
      "CREATE INDEX `agent_checkpoints_by_agent` ON `agent_checkpoints` (`agent_id`,`id`)",
      "CREATE INDEX `agent_checkpoints_by_namespace` ON `agent_checkpoints` (`agent_id`,`namespace`,`id`)",
      "CREATE INDEX `agent_checkpoints_base` ON `agent_checkpoints` (`base_id`)",
      "CREATE INDEX `agent_checkpoints_pending` ON `agent_checkpoints` (`pending`)",
    ],
  },
  {
    name: "0001_writes",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoint_writes\` (
	\`checkpoint_id\` binary(16) NOT NULL,
	\`task_id\` varbinary(255) NOT NULL,
	\`write_index\` int NOT NULL,
	\`write_rank\` binary(16) NOT NULL,
	\`channel\` varbinary(1024) NOT NULL,
	\`task_path\` blob NOT NULL,
	\`encoding\` varbinary(64) NOT NULL,
	\`state_bytes\` bigint NOT NULL,
	\`digest\` binary(32) NOT NULL,
	\`state\` longblob NOT NULL,
	CONSTRAINT \`agent_checkpoint_writes_pk\` PRIMARY KEY(\`checkpoint_id\`,\`task_id\`,\`write_index\`)
)`,
      "ALTER TABLE `agent_checkpoint_writes` ADD CONSTRAINT `agent_checkpoint_writes_fk` FOREIGN KEY (`checkpoint_id`) REFERENCES `agent_checkpoints`(`id`) ON DELETE cascade ON UPDATE no action",
    ],
  },
  {
    name: "0002_settings",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoint_settings\` (
	\`name\` varbinary(255) NOT NULL,
	\`value\` blob NOT NULL,
	CONSTRAINT \`agent_checkpoint_settings_name\` PRIMARY KEY(\`name\`)
)`,
      "INSERT INTO `agent_checkpoint_settings` (`name`, `value`) VALUES ('replicated', 'no')",
    ],
  },
  {
    name: "0003_labels",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoint_labels\` (
	\`label\` binary(16) NOT NULL,
	\`checkpoint_id\` binary(16) NOT NULL,
	\`agent_id\` varbinary(255) NOT NULL,
	CONSTRAINT \`agent_checkpoint_labels_pk\` PRIMARY KEY(\`label\`,\`checkpoint_id\`)
)`,
      "ALTER TABLE `agent_checkpoint_labels` ADD CONSTRAINT `agent_checkpoint_labels_fk` FOREIGN KEY (`checkpoint_id`) REFERENCES `agent_checkpoints`(`id`) ON DELETE cascade ON UPDATE no action",
      "CREATE INDEX `agent_checkpoint_labels_by_agent` ON `agent_checkpoint_labels` (`label`,`agent_id`)",
      "CREATE INDEX `agent_checkpoint_labels_by_checkpoint` ON `agent_checkpoint_labels` (`checkpoint_id`)",
    ],
  },
];
