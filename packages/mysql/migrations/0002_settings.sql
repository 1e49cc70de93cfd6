CREATE TABLE `agent_checkpoint_settings` (
	`name` varbinary(255) NOT NULL,
	`value` blob NOT NULL,
	CONSTRAINT `agent_checkpoint_settings_name` PRIMARY KEY(`name`)
);--> statement-breakpoint
INSERT INTO `agent_checkpoint_settings` (`name`, `value`) VALUES ('replicated', 'no');
