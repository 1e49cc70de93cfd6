CREATE TABLE `agent_checkpoint_settings` (
	`name` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);--> statement-breakpoint
INSERT INTO `agent_checkpoint_settings` (`name`, `value`) VALUES ('replicated', 'no');
