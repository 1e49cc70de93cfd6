CREATE TABLE "eliza_agents" (
	"id" uuid NOT NULL,
	"created_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"data" text COLLATE "C" NOT NULL,
	"settings" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_agents_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_cache" (
	"agent_id" uuid NOT NULL,
	"key_digest" "bytea" NOT NULL,
	"created_at" bigint NOT NULL,
	"key" text COLLATE "C" NOT NULL,
	"value" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_cache_pk" PRIMARY KEY("agent_id","key_digest")
);
--> statement-breakpoint
CREATE TABLE "eliza_components" (
	"id" uuid NOT NULL,
	"entity_id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"room_id" uuid NOT NULL,
	"world_id" uuid,
	"source_entity_id" uuid,
	"created_at" bigint NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"data" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_components_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_entities" (
	"id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"created_at" bigint NOT NULL,
	"names" text COLLATE "C" NOT NULL,
	"folded_names" text COLLATE "C" NOT NULL,
	"metadata" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_entities_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_logs" (
	"id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"entity_id" uuid NOT NULL,
	"room_id" uuid NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"run_id" text COLLATE "C",
	"status" text COLLATE "C",
	"failed" bigint NOT NULL,
	"prompts" bigint NOT NULL,
	"created_at" bigint NOT NULL,
	"body" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_logs_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_memories" (
	"id" uuid NOT NULL,
	"part" bigint NOT NULL,
	"agent_id" uuid NOT NULL,
	"room_id" uuid,
	"entity_id" uuid,
	"world_id" uuid,
	"type" text COLLATE "C",
	"created_at" bigint NOT NULL,
	"is_unique" bigint NOT NULL,
	"document_id" uuid,
	"space" bigint NOT NULL,
	"dimensions" bigint,
	"place" uuid NOT NULL,
	"signature" bit varying(4096),
	"content" text COLLATE "C",
	"metadata" text COLLATE "C",
	"vector" real[],
	CONSTRAINT "eliza_memories_pk" PRIMARY KEY("id","part")
);
--> statement-breakpoint
CREATE TABLE "eliza_participants" (
	"room_id" uuid NOT NULL,
	"entity_id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"created_at" bigint NOT NULL,
	"room_state" text COLLATE "C",
	CONSTRAINT "eliza_participants_pk" PRIMARY KEY("room_id","entity_id","agent_id")
);
--> statement-breakpoint
CREATE TABLE "eliza_relationships" (
	"id" uuid NOT NULL,
	"source_entity_id" uuid NOT NULL,
	"target_entity_id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"created_at" bigint NOT NULL,
	"tags" text COLLATE "C" NOT NULL,
	"metadata" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_relationships_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_rooms" (
	"id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"created_at" bigint NOT NULL,
	"world_id" uuid,
	"message_server_id" uuid,
	"source" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C",
	"channel_id" text COLLATE "C",
	"metadata" text COLLATE "C",
	CONSTRAINT "eliza_rooms_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_tasks" (
	"id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"room_id" uuid,
	"world_id" uuid,
	"name" text COLLATE "C" NOT NULL,
	"created_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"description" text COLLATE "C",
	"tags" text COLLATE "C" NOT NULL,
	"metadata" text COLLATE "C" NOT NULL,
	CONSTRAINT "eliza_tasks_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
CREATE TABLE "eliza_worlds" (
	"id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"created_at" bigint NOT NULL,
	"message_server_id" uuid,
	"name" text COLLATE "C" NOT NULL,
	"metadata" text COLLATE "C",
	CONSTRAINT "eliza_worlds_pk" PRIMARY KEY("id")
);
--> statement-breakpoint
ALTER TABLE "eliza_cache" ADD CONSTRAINT "eliza_cache_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_components" ADD CONSTRAINT "eliza_components_entity_id_fk" FOREIGN KEY ("entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_components" ADD CONSTRAINT "eliza_components_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_components" ADD CONSTRAINT "eliza_components_room_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."eliza_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_components" ADD CONSTRAINT "eliza_components_world_id_fk" FOREIGN KEY ("world_id") REFERENCES "public"."eliza_worlds"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_components" ADD CONSTRAINT "eliza_components_source_entity_id_fk" FOREIGN KEY ("source_entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_entities" ADD CONSTRAINT "eliza_entities_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_logs" ADD CONSTRAINT "eliza_logs_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_logs" ADD CONSTRAINT "eliza_logs_entity_id_fk" FOREIGN KEY ("entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_logs" ADD CONSTRAINT "eliza_logs_room_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."eliza_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_memories" ADD CONSTRAINT "eliza_memories_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_memories" ADD CONSTRAINT "eliza_memories_room_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."eliza_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_memories" ADD CONSTRAINT "eliza_memories_entity_id_fk" FOREIGN KEY ("entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_participants" ADD CONSTRAINT "eliza_participants_room_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."eliza_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_participants" ADD CONSTRAINT "eliza_participants_entity_id_fk" FOREIGN KEY ("entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_participants" ADD CONSTRAINT "eliza_participants_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_relationships" ADD CONSTRAINT "eliza_relationships_source_entity_id_fk" FOREIGN KEY ("source_entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_relationships" ADD CONSTRAINT "eliza_relationships_target_entity_id_fk" FOREIGN KEY ("target_entity_id") REFERENCES "public"."eliza_entities"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_relationships" ADD CONSTRAINT "eliza_relationships_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_rooms" ADD CONSTRAINT "eliza_rooms_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_tasks" ADD CONSTRAINT "eliza_tasks_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "eliza_worlds" ADD CONSTRAINT "eliza_worlds_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."eliza_agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "eliza_components_by_entity" ON "eliza_components" USING btree ("entity_id","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_components_by_agent" ON "eliza_components" USING btree ("agent_id");--> statement-breakpoint
CREATE INDEX "eliza_components_by_room" ON "eliza_components" USING btree ("room_id");--> statement-breakpoint
CREATE INDEX "eliza_components_by_world" ON "eliza_components" USING btree ("world_id");--> statement-breakpoint
CREATE INDEX "eliza_components_by_source" ON "eliza_components" USING btree ("source_entity_id");--> statement-breakpoint
CREATE INDEX "eliza_entities_by_agent" ON "eliza_entities" USING btree ("agent_id","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_logs_by_agent" ON "eliza_logs" USING btree ("agent_id","type","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_logs_by_time" ON "eliza_logs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_logs_by_room" ON "eliza_logs" USING btree ("room_id","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_logs_by_entity" ON "eliza_logs" USING btree ("entity_id","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_logs_by_run" ON "eliza_logs" USING btree ("run_id");--> statement-breakpoint
CREATE INDEX "eliza_memories_by_room" ON "eliza_memories" USING btree ("room_id","type","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_memories_by_agent" ON "eliza_memories" USING btree ("agent_id","type","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_memories_by_world" ON "eliza_memories" USING btree ("world_id","type","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_memories_by_entity" ON "eliza_memories" USING btree ("entity_id","type","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_memories_by_document" ON "eliza_memories" USING btree ("document_id");--> statement-breakpoint
CREATE INDEX "eliza_memories_by_vector" ON "eliza_memories" USING btree ("space","dimensions","place","id","part","entity_id","world_id","is_unique","signature");--> statement-breakpoint
CREATE INDEX "eliza_participants_by_entity" ON "eliza_participants" USING btree ("entity_id");--> statement-breakpoint
CREATE INDEX "eliza_participants_by_agent" ON "eliza_participants" USING btree ("agent_id");--> statement-breakpoint
CREATE UNIQUE INDEX "eliza_relationships_by_pair" ON "eliza_relationships" USING btree ("source_entity_id","target_entity_id","agent_id");--> statement-breakpoint
CREATE INDEX "eliza_relationships_by_target" ON "eliza_relationships" USING btree ("target_entity_id");--> statement-breakpoint
CREATE INDEX "eliza_relationships_by_agent" ON "eliza_relationships" USING btree ("agent_id");--> statement-breakpoint
CREATE INDEX "eliza_rooms_by_agent" ON "eliza_rooms" USING btree ("agent_id");--> statement-breakpoint
CREATE INDEX "eliza_rooms_by_world" ON "eliza_rooms" USING btree ("world_id","created_at","id");--> statement-breakpoint
CREATE INDEX "eliza_tasks_by_name" ON "eliza_tasks" USING btree ("agent_id","name","id");--> statement-breakpoint
CREATE INDEX "eliza_worlds_by_agent" ON "eliza_worlds" USING btree ("agent_id","created_at","id");