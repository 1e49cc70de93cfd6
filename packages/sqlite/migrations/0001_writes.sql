CREATE TABLE `agent_checkpoint_writes` (
	`checkpoint_id` blob NOT NULL,
	`task_id` text NOT NULL,
	`write_index` integer NOT NULL,
	`write_rank` blob NOT NULL,
	`channel` text NOT NULL,
	`task_path` text NOT NULL,
	`encoding` text NOT NULL,
	`state_bytes` integer NOT NULL,
	`digest` blob NOT NULL,
	`state` blob NOT NULL,
	PRIMARY KEY(`checkpoint_id`, `task_id`, `write_index`),
	FOREIGN KEY (`checkpoint_id`) REFERENCES `agent_checkpoints`(`id`) ON UPDATE no action ON DELETE cascade
);
