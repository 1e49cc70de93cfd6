CREATE TABLE `agent_checkpoint_settings` (
	`name` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
