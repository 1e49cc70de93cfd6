CREATE TABLE `eliza_agents` (
	`id` binary(16) NOT NULL,
	`created_at` bigint NOT NULL,
	`updated_at` bigint NOT NULL,
	`data` longblob NOT NULL,
	`settings` longblob NOT NULL,
	CONSTRAINT `eliza_agents_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_cache` (
	`agent_id` binary(16) NOT NULL,
	`key_digest` varbinary(32) NOT NULL,
	`created_at` bigint NOT NULL,
	`key` longblob NOT NULL,
	`value` longblob NOT NULL,
	CONSTRAINT `eliza_cache_pk` PRIMARY KEY(`agent_id`,`key_digest`)
);
--> statement-breakpoint
CREATE TABLE `eliza_components` (
	`id` binary(16) NOT NULL,
	`entity_id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`room_id` binary(16) NOT NULL,
	`world_id` binary(16),
	`source_entity_id` binary(16),
	`created_at` bigint NOT NULL,
	`type` longblob NOT NULL,
	`data` longblob NOT NULL,
	CONSTRAINT `eliza_components_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_entities` (
	`id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`created_at` bigint NOT NULL,
	`names` longblob NOT NULL,
	`folded_names` longblob NOT NULL,
	`metadata` longblob NOT NULL,
	CONSTRAINT `eliza_entities_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_logs` (
	`id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`entity_id` binary(16) NOT NULL,
	`room_id` binary(16) NOT NULL,
	`type` varbinary(255) NOT NULL,
	`run_id` varbinary(255),
	`status` varbinary(64),
	`failed` bigint NOT NULL,
	`prompts` bigint NOT NULL,
	`created_at` bigint NOT NULL,
	`body` longblob NOT NULL,
	CONSTRAINT `eliza_logs_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_memories` (
	`id` binary(16) NOT NULL,
	`part` bigint NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`room_id` binary(16),
	`entity_id` binary(16),
	`world_id` binary(16),
	`type` varbinary(255),
	`created_at` bigint NOT NULL,
	`is_unique` bigint NOT NULL,
	`document_id` binary(16),
	`space` bigint NOT NULL,
	`dimensions` bigint,
	`place` binary(16) NOT NULL,
	`signature` varbinary(512),
	`content` longblob,
	`metadata` longblob,
	`vector` mediumblob,
	CONSTRAINT `eliza_memories_pk` PRIMARY KEY(`id`,`part`)
);
--> statement-breakpoint
CREATE TABLE `eliza_participants` (
	`room_id` binary(16) NOT NULL,
	`entity_id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`id` binary(16) NOT NULL,
	`created_at` bigint NOT NULL,
	`room_state` varbinary(64),
	CONSTRAINT `eliza_participants_pk` PRIMARY KEY(`room_id`,`entity_id`,`agent_id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_relationships` (
	`id` binary(16) NOT NULL,
	`source_entity_id` binary(16) NOT NULL,
	`target_entity_id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`created_at` bigint NOT NULL,
	`tags` longblob NOT NULL,
	`metadata` longblob NOT NULL,
	CONSTRAINT `eliza_relationships_pk` PRIMARY KEY(`id`),
	CONSTRAINT `eliza_relationships_by_pair` UNIQUE(`source_entity_id`,`target_entity_id`,`agent_id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_rooms` (
	`id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`created_at` bigint NOT NULL,
	`world_id` binary(16),
	`message_server_id` binary(16),
	`source` longblob NOT NULL,
	`type` longblob NOT NULL,
	`name` longblob,
	`channel_id` longblob,
	`metadata` longblob,
	CONSTRAINT `eliza_rooms_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_tasks` (
	`id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`room_id` binary(16),
	`world_id` binary(16),
	`name` varbinary(1024) NOT NULL,
	`created_at` bigint NOT NULL,
	`updated_at` bigint NOT NULL,
	`description` longblob,
	`tags` longblob NOT NULL,
	`metadata` longblob NOT NULL,
	CONSTRAINT `eliza_tasks_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `eliza_worlds` (
	`id` binary(16) NOT NULL,
	`agent_id` binary(16) NOT NULL,
	`created_at` bigint NOT NULL,
	`message_server_id` binary(16),
	`name` longblob NOT NULL,
	`metadata` longblob,
	CONSTRAINT `eliza_worlds_pk` PRIMARY KEY(`id`)
);
--> statement-breakpoint
ALTER TABLE `eliza_cache` ADD CONSTRAINT `eliza_cache_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_components` ADD CONSTRAINT `eliza_components_entity_id_fk` FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_components` ADD CONSTRAINT `eliza_components_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_components` ADD CONSTRAINT `eliza_components_room_id_fk` FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_components` ADD CONSTRAINT `eliza_components_world_id_fk` FOREIGN KEY (`world_id`) REFERENCES `eliza_worlds`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_components` ADD CONSTRAINT `eliza_components_source_entity_id_fk` FOREIGN KEY (`source_entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_entities` ADD CONSTRAINT `eliza_entities_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_logs` ADD CONSTRAINT `eliza_logs_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_logs` ADD CONSTRAINT `eliza_logs_entity_id_fk` FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_logs` ADD CONSTRAINT `eliza_logs_room_id_fk` FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_memories` ADD CONSTRAINT `eliza_memories_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_memories` ADD CONSTRAINT `eliza_memories_room_id_fk` FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_memories` ADD CONSTRAINT `eliza_memories_entity_id_fk` FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_participants` ADD CONSTRAINT `eliza_participants_room_id_fk` FOREIGN KEY (`room_id`) REFERENCES `eliza_rooms`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_participants` ADD CONSTRAINT `eliza_participants_entity_id_fk` FOREIGN KEY (`entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_participants` ADD CONSTRAINT `eliza_participants_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_relationships` ADD CONSTRAINT `eliza_relationships_source_entity_id_fk` FOREIGN KEY (`source_entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_relationships` ADD CONSTRAINT `eliza_relationships_target_entity_id_fk` FOREIGN KEY (`target_entity_id`) REFERENCES `eliza_entities`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_relationships` ADD CONSTRAINT `eliza_relationships_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_rooms` ADD CONSTRAINT `eliza_rooms_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_tasks` ADD CONSTRAINT `eliza_tasks_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `eliza_worlds` ADD CONSTRAINT `eliza_worlds_agent_id_fk` FOREIGN KEY (`agent_id`) REFERENCES `eliza_agents`(`id`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX `eliza_components_by_entity` ON `eliza_components` (`entity_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_agent` ON `eliza_components` (`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_room` ON `eliza_components` (`room_id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_world` ON `eliza_components` (`world_id`);--> statement-breakpoint
CREATE INDEX `eliza_components_by_source` ON `eliza_components` (`source_entity_id`);--> statement-breakpoint
CREATE INDEX `eliza_entities_by_agent` ON `eliza_entities` (`agent_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_agent` ON `eliza_logs` (`agent_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_time` ON `eliza_logs` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_room` ON `eliza_logs` (`room_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_entity` ON `eliza_logs` (`entity_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_logs_by_run` ON `eliza_logs` (`run_id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_room` ON `eliza_memories` (`room_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_agent` ON `eliza_memories` (`agent_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_world` ON `eliza_memories` (`world_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_entity` ON `eliza_memories` (`entity_id`,`type`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_document` ON `eliza_memories` (`document_id`);--> statement-breakpoint
CREATE INDEX `eliza_memories_by_vector` ON `eliza_memories` (`space`,`dimensions`,`place`,`id`,`part`,`entity_id`,`world_id`,`is_unique`,`signature`);--> statement-breakpoint
CREATE INDEX `eliza_participants_by_entity` ON `eliza_participants` (`entity_id`);--> statement-breakpoint
CREATE INDEX `eliza_participants_by_agent` ON `eliza_participants` (`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_relationships_by_target` ON `eliza_relationships` (`target_entity_id`);--> statement-breakpoint
CREATE INDEX `eliza_relationships_by_agent` ON `eliza_relationships` (`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_rooms_by_agent` ON `eliza_rooms` (`agent_id`);--> statement-breakpoint
CREATE INDEX `eliza_rooms_by_world` ON `eliza_rooms` (`world_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_tasks_by_name` ON `eliza_tasks` (`agent_id`,`name`,`id`);--> statement-breakpoint
CREATE INDEX `eliza_worlds_by_agent` ON `eliza_worlds` (`agent_id`,`created_at`,`id`);