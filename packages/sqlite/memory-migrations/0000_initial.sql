CREATE TABLE `agent_memory_items` (
	`space` integer NOT NULL,
	`number` integer NOT NULL,
	`id` blob NOT NULL,
	`owner` text NOT NULL,
	`thread_id` text,
	`role` text,
	`item_key` text,
	`importance` real NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`length` integer NOT NULL,
	`text_digest` blob,
	`checkpoint_id` blob,
	`revision` blob NOT NULL,
	`pending` integer,
	`metadata` text,
	`text` text NOT NULL,
	`raw_text` blob,
	`encoding` text,
	`value_bytes` integer,
	`value_digest` blob,
	`value` blob,
	PRIMARY KEY(`space`, `number`)
);
--> statement-breakpoint
CREATE UNIQUE INDEX `agent_memory_items_by_id` ON `agent_memory_items` (`id`,`owner`);--> statement-breakpoint
CREATE UNIQUE INDEX `agent_memory_items_by_key` ON `agent_memory_items` (`space`,`item_key`);--> statement-breakpoint
CREATE UNIQUE INDEX `agent_memory_items_by_text` ON `agent_memory_items` (`space`,`text_digest`);--> statement-breakpoint
CREATE INDEX `agent_memory_items_by_thread` ON `agent_memory_items` (`space`,`thread_id`,`number`);--> statement-breakpoint
CREATE INDEX `agent_memory_items_by_expiry` ON `agent_memory_items` (`expires_at`);--> statement-breakpoint
CREATE TABLE `agent_memory_signatures` (
	`space` integer NOT NULL,
	`generation` integer NOT NULL,
	`number` integer NOT NULL,
	`signature` blob NOT NULL,
	PRIMARY KEY(`space`, `number`, `generation`),
	FOREIGN KEY (`space`,`number`) REFERENCES `agent_memory_items`(`space`,`number`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `agent_memory_spaces` (
	`number` integer PRIMARY KEY NOT NULL,
	`owner` text NOT NULL,
	`collection` text NOT NULL,
	`removal` integer NOT NULL,
	`language` text NOT NULL,
	`analyzer` integer NOT NULL,
	`items` integer NOT NULL,
	`tokens` integer NOT NULL,
	`generation` integer NOT NULL,
	`dimensions` integer,
	`model` text,
	`next_generation` integer,
	`next_dimensions` integer,
	`next_model` text,
	`next_missed` integer NOT NULL,
	`last_generation` integer NOT NULL,
	`last_number` integer NOT NULL,
	`created_at` integer NOT NULL,
	`revision` blob NOT NULL,
	`pending` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `agent_memory_spaces_by_name` ON `agent_memory_spaces` (`owner`,`collection`,`removal`);--> statement-breakpoint
CREATE TABLE `agent_memory_terms` (
	`space` integer NOT NULL,
	`term` text NOT NULL,
	`number` integer NOT NULL,
	`frequency` integer NOT NULL,
	`length` integer NOT NULL,
	PRIMARY KEY(`space`, `term`, `number`)
);
--> statement-breakpoint
CREATE TABLE `agent_memory_threads` (
	`owner` text NOT NULL,
	`id` text NOT NULL,
	`kind` text NOT NULL,
	`items` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`revision` blob NOT NULL,
	`pending` integer,
	`title` text,
	`metadata` text,
	PRIMARY KEY(`owner`, `id`)
);
--> statement-breakpoint
CREATE INDEX `agent_memory_threads_by_time` ON `agent_memory_threads` (`owner`,`kind`,`updated_at`,`id`);--> statement-breakpoint
CREATE TABLE `agent_memory_vectors` (
	`space` integer NOT NULL,
	`generation` integer NOT NULL,
	`number` integer NOT NULL,
	`dimensions` integer NOT NULL,
	`vector` blob NOT NULL,
	PRIMARY KEY(`space`, `number`, `generation`),
	FOREIGN KEY (`space`,`number`) REFERENCES `agent_memory_items`(`space`,`number`) ON UPDATE no action ON DELETE cascade
);
