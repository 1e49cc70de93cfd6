CREATE TABLE `agent_checkpoint_labels` (
	`label` binary(16) NOT NULL,
	`checkpoint_id` binary(16) NOT NULL,
	`agent_id` varbinary(255) NOT NULL,
	CONSTRAINT `agent_checkpoint_labels_pk` PRIMARY KEY(`label`,`checkpoint_id`)
);
--> statement-breakpoint
ALTER TABLE `agent_checkpoint_labels` ADD CONSTRAINT `agent_checkpoint_labels_fk` FOREIGN KEY (`checkpoint_id`) REFERENCES `agent_checkpoints`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX `agent_checkpoint_labels_by_agent` ON `agent_checkpoint_labels` (`label`,`agent_id`);--> statement-breakpoint
CREATE INDEX `agent_checkpoint_labels_by_checkpoint` ON `agent_checkpoint_labels` (`checkpoint_id`);