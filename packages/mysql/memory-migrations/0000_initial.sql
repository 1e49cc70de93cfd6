CREATE TABLE `agent_memory_items` (
	`space` bigint NOT NULL,
	`number` bigint NOT NULL,
	`id` binary(16) NOT NULL,
	`owner` varbinary(255) NOT NULL,
	`thread_id` varbinary(255),
	`role` varbinary(64),
	`item_key` varbinary(1024),
	`importance` double NOT NULL,
	`created_at` bigint NOT NULL,
	`expires_at` bigint NOT NULL,
	`length` bigint NOT NULL,
	`text_digest` varbinary(32),
	`checkpoint_id` binary(16),
	`revision` binary(16) NOT NULL,
	`pending` bigint,
	`metadata` longblob,
	`text` longblob NOT NULL,
	`raw_text` longblob,
	`encoding` varbinary(64),
	`value_bytes` bigint,
	`value_digest` varbinary(32),
	`value` longblob,
	CONSTRAINT `agent_memory_items_pk` PRIMARY KEY(`space`,`number`),
	CONSTRAINT `agent_memory_items_by_id` UNIQUE(`id`,`owner`),
	CONSTRAINT `agent_memory_items_by_key` UNIQUE(`space`,`item_key`),
	CONSTRAINT `agent_memory_items_by_text` UNIQUE(`space`,`text_digest`)
);
--> statement-breakpoint
CREATE TABLE `agent_memory_signatures` (
	`space` bigint NOT NULL,
	`generation` bigint NOT NULL,
	`number` bigint NOT NULL,
	`signature` varbinary(512) NOT NULL,
	CONSTRAINT `agent_memory_signatures_pk` PRIMARY KEY(`space`,`number`,`generation`)
);
--> statement-breakpoint
CREATE TABLE `agent_memory_spaces` (
	`number` bigint NOT NULL,
	`owner` varbinary(255) NOT NULL,
	`collection` varbinary(1024) NOT NULL,
	`removal` bigint NOT NULL,
	`language` varbinary(16) NOT NULL,
	`analyzer` bigint NOT NULL,
	`items` bigint NOT NULL,
	`tokens` bigint NOT NULL,
	`generation` bigint NOT NULL,
	`dimensions` bigint,
	`model` varbinary(255),
	`next_generation` bigint,
	`next_dimensions` bigint,
	`next_model` varbinary(255),
	`next_missed` bigint NOT NULL,
	`last_generation` bigint NOT NULL,
	`last_number` bigint NOT NULL,
	`created_at` bigint NOT NULL,
	`revision` binary(16) NOT NULL,
	`pending` bigint,
	CONSTRAINT `agent_memory_spaces_pk` PRIMARY KEY(`number`),
	CONSTRAINT `agent_memory_spaces_by_name` UNIQUE(`owner`,`collection`,`removal`)
);
--> statement-breakpoint
CREATE TABLE `agent_memory_terms` (
	`space` bigint NOT NULL,
	`term` varbinary(64) NOT NULL,
	`number` bigint NOT NULL,
	`frequency` bigint NOT NULL,
	`length` bigint NOT NULL,
	CONSTRAINT `agent_memory_terms_pk` PRIMARY KEY(`space`,`term`,`number`)
);
--> statement-breakpoint
CREATE TABLE `agent_memory_threads` (
	`owner` varbinary(255) NOT NULL,
	`id` varbinary(255) NOT NULL,
	`kind` varbinary(64) NOT NULL,
	`items` bigint NOT NULL,
	`created_at` bigint NOT NULL,
	`updated_at` bigint NOT NULL,
	`revision` binary(16) NOT NULL,
	`pending` bigint,
	`title` longblob,
	`metadata` longblob,
	CONSTRAINT `agent_memory_threads_pk` PRIMARY KEY(`owner`,`id`)
);
--> statement-breakpoint
CREATE TABLE `agent_memory_vectors` (
	`space` bigint NOT NULL,
	`generation` bigint NOT NULL,
	`number` bigint NOT NULL,
	`dimensions` bigint NOT NULL,
	`vector` mediumblob NOT NULL,
	CONSTRAINT `agent_memory_vectors_pk` PRIMARY KEY(`space`,`number`,`generation`)
);
--> statement-breakpoint
ALTER TABLE `agent_memory_signatures` ADD CONSTRAINT `agent_memory_signatures_fk` FOREIGN KEY (`space`,`number`) REFERENCES `agent_memory_items`(`space`,`number`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE `agent_memory_vectors` ADD CONSTRAINT `agent_memory_vectors_fk` FOREIGN KEY (`space`,`number`) REFERENCES `agent_memory_items`(`space`,`number`) ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX `agent_memory_items_by_thread` ON `agent_memory_items` (`space`,`thread_id`,`number`);--> statement-breakpoint
CREATE INDEX `agent_memory_items_by_expiry` ON `agent_memory_items` (`expires_at`);--> statement-breakpoint
CREATE INDEX `agent_memory_threads_by_time` ON `agent_memory_threads` (`owner`,`kind`,`updated_at`,`id`);