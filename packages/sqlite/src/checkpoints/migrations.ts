// Generated from migrations/ by scripts/compile-migrations.mjs: run `npm run db:generate`, don't edit.
import type { Migration } from "@waymark/core/kit";

export const migrations: readonly Migration[] = [
  {
    name: "0000_initial",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoints\` (
	\`id\` blob PRIMARY KEY NOT NULL,
	\`agent_id\` text NOT NULL,
	\`namespace\` text NOT NULL,
	\`name\` text NOT NULL,
	\`parent_id\` blob,
	\`after_id\` blob,
	\`base_id\` blob,
	\`created_at\` integer NOT NULL,
	\`metadata\` text,
	\`encoding\` text NOT NULL,
	\`state_bytes\` integer NOT NULL,
	\`digest\` blob NOT NULL,
	\`pending\` integer,
	\`state\` blob NOT NULL,
	FOREIGN KEY (\`base_id\`) REFERENCES \`agent_checkpoints\`(\`id\`) ON UPDATE no action ON DELETE no action
)`,
      "CREATE INDEX `agent_checkpoints_by_agent` ON `agent_checkpoints` (`agent_id`,`id`)",
      "CREATE INDEX `agent_checkpoints_by_namespace` ON `agent_checkpoints` (`agent_id`,`namespace`,`id`)",
      "CREATE UNIQUE INDEX `agent_checkpoints_after` ON `agent_checkpoints` (`agent_id`,`namespace`,`after_id`) WHERE after_id is not null",
      "CREATE INDEX `agent_checkpoints_base` ON `agent_checkpoints` (`base_id`) WHERE base_id is not null",
      "CREATE INDEX `agent_checkpoints_pending` ON `agent_checkpoints` (`pending`) WHERE pending is not null",
    ],
  },
  {
    name: "0001_writes",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoint_writes\` (
	\`checkpoint_id\` blob NOT NULL,
	\`task_id\` text NOT NULL,
	\`write_index\` integer NOT NULL,
	\`write_rank\` blob NOT NULL,
	\`channel\` text NOT NULL,
	\`task_path\` text NOT NULL,
	\`encoding\` text NOT NULL,
	\`state_bytes\` integer NOT NULL,
	\`digest\` blob NOT NULL,
	\`state\` blob NOT NULL,
	PRIMARY KEY(\`checkpoint_id\`, \`task_id\`, \`write_index\`),
	FOREIGN KEY (\`checkpoint_id\`) REFERENCES \`agent_checkpoints\`(\`id\`) ON UPDATE no action ON DELETE cascade
)`,
    ],
  },
  {
    name: "0002_settings",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoint_settings\` (
	\`name\` text PRIMARY KEY NOT NULL,
	\`value\` text NOT NULL
)`,
      "INSERT INTO `agent_checkpoint_settings` (`name`, `value`) VALUES ('replicated', 'no')",
    ],
  },
  {
    name: "0003_labels",
    minimumReader: 1,
    statements: [
      `CREATE TABLE \`agent_checkpoint_labels\` (
	\`label\` blob NOT NULL,
	\`checkpoint_id\` blob NOT NULL,
	\`agent_id\` text NOT NULL,
	PRIMARY KEY(\`label\`, \`checkpoint_id\`),
	FOREIGN KEY (\`checkpoint_id\`) REFERENCES \`agent_checkpoints\`(\`id\`) ON UPDATE no action ON DELETE cascade
)`,
      "CREATE INDEX `agent_checkpoint_labels_by_agent` ON `agent_checkpoint_labels` (`label`,`agent_id`)",
      "CREATE INDEX `agent_checkpoint_labels_by_checkpoint` ON `agent_checkpoint_labels` (`checkpoint_id`)",
    ],
  },
];
