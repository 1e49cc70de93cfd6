CREATE TABLE `agent_checkpoint_writes` (
	`checkpoint_id` binary(16) NOT NULL,
	`task_id` varbinary(255) NOT NULL,
	`write_index` int NOT NULL,
	`write_rank` binary(16) NOT NULL,
	`channel` varbinary(1024) NOT NULL,
	`task_path` blob NOT NULL,
	`encoding` varbinary(64) NOT NULL,
	`state_bytes` bigint NOT NULL,
	`digest` binary(32) NOT NULL,
	`state` longblob NOT NULL,
	CONSTRAINT `agent_checkpoint_writes_pk` PRIMARY KEY(`checkpoint_id`,`task_id`,`write_index`)
);
--> statement-breakpoint
ALTER TABLE `agent_checkpoint_writes` ADD CONSTRAINT `agent_checkpoint_writes_fk` FOREIGN KEY (`checkpoint_id`) REFERENCES `agent_checkpoints`(`id`) ON DELETE cascade ON UPDATE no action;