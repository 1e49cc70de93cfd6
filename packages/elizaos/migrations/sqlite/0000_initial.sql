CREATE TABLE `eliza_agents` (
	`id` blob PRIMARY KEY NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`data` text NOT NULL,
	`settings` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `eliza_cache` (
	`agent_id` blob NOT NULL,
	`key_digest` blob NOT NULL,
	`created_at` integer NOT NULL,
	`key` text NOT NULL,
	`value` text NOT NULL,
	PRIMARY KEY(`agent_id`, `key_digest`),
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `eliza_components` (
	`id` blob PRIMARY KEY NOT NULL,
	`entity_id` blob NOT NULL,
	`agent_id` blob NOT NULL,
	`room_id` blob NOT NULL,
	`world_id` blob,
	`source_entity_id` blob,
	`created_at` integer NOT NULL,
	`type` text NOT NULL,
	`data` text NOT NULL,
	FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`world_id`) REFERENCES `eliza_worlds`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`source_entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_components_by_entity` ON `eliza_components` (`entity_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_agent` ON `eliza_components` (`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_room` ON `eliza_components` (`room_id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_world` ON `eliza_components` (`world_id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_source` ON `eliza_components` (`source_entity_id`);--> statement-breakpoint
CREATE TABLE `eliza_entities` (
	`id` blob PRIMARY KEY NOT NULL,
	`agent_id` blob NOT NULL,
	`created_at` integer NOT NULL,
	`names` text NOT NULL,
	`folded_names` text NOT NULL,
	`metadata` text NOT NULL,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_entities_by_agent` ON `eliza_entities` (`agent_id`,`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `eliza_logs` (
	`id` blob PRIMARY KEY NOT NULL,
	`agent_id` blob NOT NULL,
	`entity_id` blob NOT NULL,
	`room_id` blob NOT NULL,
	`type` text NOT NULL,
	`run_id` text,
	`status` text,
	`failed` integer NOT NULL,
	`prompts` integer NOT NULL,
	`created_at` integer NOT NULL,
	`body` text NOT NULL,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_logs_by_agent` ON `eliza_logs` (`agent_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_time` ON `eliza_logs` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_room` ON `eliza_logs` (`room_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_entity` ON `eliza_logs` (`entity_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_run` ON `eliza_logs` (`run_id`);--> statement-breakpoint
CREATE TABLE `eliza_memories` (
	`id` blob NOT NULL,
	`part` integer NOT NULL,
	`agent_id` blob NOT NULL,
	`room_id` blob,
	`entity_id` blob,
	`world_id` blob,
	`type` text,
	`created_at` integer NOT NULL,
	`is_unique` integer NOT NULL,
	`document_id` blob,
	`space` integer NOT NULL,
	`dimensions` integer,
	`place` blob NOT NULL,
	`signature` blob,
	`content` text,
	`metadata` text,
	`vector` blob,
	PRIMARY KEY(`id`, `part`),
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_memories_by_room` ON `eliza_memories` (`room_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_agent` ON `eliza_memories` (`agent_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_world` ON `eliza_memories` (`world_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_entity` ON `eliza_memories` (`entity_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_document` ON `eliza_memories` (`document_id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_vector` ON `eliza_memories` (`space`,`dimensions`,`place`,`id`,`part`,`entity_id`,`world_id`,`is_unique`,`signature`);--> statement-breakpoint
CREATE TABLE `eliza_participants` (
	`room_id` blob NOT NULL,
	`entity_id` blob NOT NULL,
	`agent_id` blob NOT NULL,
	`id` blob NOT NULL,
	`created_at` integer NOT NULL,
	`room_state` text,
	PRIMARY KEY(`room_id`, `entity_id`, `agent_id`),
	FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_participants_by_entity` ON `eliza_participants` (`entity_id`);--> statement-breakpoint
CREATE INDEX `eliza_participants_by_agent` ON `eliza_participants` (`agent_id`);--> statement-breakpoint
CREATE TABLE `eliza_relationships` (
	`id` blob PRIMARY KEY NOT NULL,
	`source_entity_id` blob NOT NULL,
	`target_entity_id` blob NOT NULL,
	`agent_id` blob NOT NULL,
	`created_at` integer NOT NULL,
	`tags` text NOT NULL,
	`metadata` text NOT NULL,
	FOREIGN KEY (`source_entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`target_entity_id`) REFERENCES `eliza_entities`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `eliza_relationships_by_pair` ON `eliza_relationships` (`source_entity_id`,`target_entity_id`,`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_relationships_by_target` ON `eliza_relationships` (`target_entity_id`);--> statement-breakpoint
CREATE INDEX `eliza_relationships_by_agent` ON `eliza_relationships` (`agent_id`);--> statement-breakpoint
CREATE TABLE `eliza_rooms` (
	`id` blob PRIMARY KEY NOT NULL,
	`agent_id` blob NOT NULL,
	`created_at` integer NOT NULL,
	`world_id` blob,
	`message_server_id` blob,
	`source` text NOT NULL,
	`type` text NOT NULL,
	`name` text,
	`channel_id` text,
	`metadata` text,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_rooms_by_agent` ON `eliza_rooms` (`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_rooms_by_world` ON `eliza_rooms` (`world_id`,`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `eliza_tasks` (
	`id` blob PRIMARY KEY NOT NULL,
	`agent_id` blob NOT NULL,
	`room_id` blob,
	`world_id` blob,
	`name` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`description` text,
	`tags` text NOT NULL,
	`metadata` text NOT NULL,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_tasks_by_name` ON `eliza_tasks` (`agent_id`,`name`,`id`);--> statement-breakpoint
CREATE TABLE `eliza_worlds` (
	`id` blob PRIMARY KEY NOT NULL,
	`agent_id` blob NOT NULL,
	`created_at` integer NOT NULL,
	`message_server_id` blob,
	`name` text NOT NULL,
	`metadata` text,
	FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `eliza_worlds_by_agent` ON `eliza_worlds` (`agent_id`,`created_at`,`id`);