CREATE TABLE `agent_checkpoint_labels` (
	`label` blob NOT NULL,
	`checkpoint_id` blob NOT NULL,
	`agent_id` text NOT NULL,
	PRIMARY KEY(`label`, `checkpoint_id`),
	FOREIGN KEY (`checkpoint_id`) REFERENCES `agent_checkpoints`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `agent_checkpoint_labels_by_agent` ON `agent_checkpoint_labels` (`label`,`agent_id`);--> statement-breakpoint
CREATE INDEX `agent_checkpoint_labels_by_checkpoint` ON `agent_checkpoint_labels` (`checkpoint_id`);