CREATE TABLE "agent_memory_items" (
	"space" bigint NOT NULL,
	"number" bigint NOT NULL,
	"id" uuid NOT NULL,
	"owner" text COLLATE "C" NOT NULL,
	"thread_id" text COLLATE "C",
	"role" text COLLATE "C",
	"item_key" text COLLATE "C",
	"importance" double precision NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint NOT NULL,
	"length" bigint NOT NULL,
	"text_digest" "bytea",
	"checkpoint_id" uuid,
	"revision" uuid NOT NULL,
	"pending" bigint,
	"metadata" text COLLATE "C",
	"text" text COLLATE "C" NOT NULL,
	"raw_text" "bytea",
	"encoding" text COLLATE "C",
	"value_bytes" bigint,
	"value_digest" "bytea",
	"value" "bytea",
	CONSTRAINT "agent_memory_items_pk" PRIMARY KEY("space","number")
);
--> statement-breakpoint
CREATE TABLE "agent_memory_signatures" (
	"space" bigint NOT NULL,
	"generation" bigint NOT NULL,
	"number" bigint NOT NULL,
	"signature" bit varying(4096) NOT NULL,
	CONSTRAINT "agent_memory_signatures_pk" PRIMARY KEY("space","number","generation")
);
--> statement-breakpoint
CREATE TABLE "agent_memory_spaces" (
	"number" bigint NOT NULL,
	"owner" text COLLATE "C" NOT NULL,
	"collection" text COLLATE "C" NOT NULL,
	"removal" bigint NOT NULL,
	"language" text COLLATE "C" NOT NULL,
	"analyzer" bigint NOT NULL,
	"items" bigint NOT NULL,
	"tokens" bigint NOT NULL,
	"generation" bigint NOT NULL,
	"dimensions" bigint,
	"model" text COLLATE "C",
	"next_generation" bigint,
	"next_dimensions" bigint,
	"next_model" text COLLATE "C",
	"next_missed" bigint NOT NULL,
	"last_generation" bigint NOT NULL,
	"last_number" bigint NOT NULL,
	"created_at" bigint NOT NULL,
	"revision" uuid NOT NULL,
	"pending" bigint,
	CONSTRAINT "agent_memory_spaces_pk" PRIMARY KEY("number")
);
--> statement-breakpoint
CREATE TABLE "agent_memory_terms" (
	"space" bigint NOT NULL,
	"term" text COLLATE "C" NOT NULL,
	"number" bigint NOT NULL,
	"frequency" bigint NOT NULL,
	"length" bigint NOT NULL,
	CONSTRAINT "agent_memory_terms_pk" PRIMARY KEY("space","term","number")
);
--> statement-breakpoint
CREATE TABLE "agent_memory_threads" (
	"owner" text COLLATE "C" NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"kind" text COLLATE "C" NOT NULL,
	"items" bigint NOT NULL,
	"created_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"revision" uuid NOT NULL,
	"pending" bigint,
	"title" text COLLATE "C",
	"metadata" text COLLATE "C",
	CONSTRAINT "agent_memory_threads_pk" PRIMARY KEY("owner","id")
);
--> statement-breakpoint
CREATE TABLE "agent_memory_vectors" (
	"space" bigint NOT NULL,
	"generation" bigint NOT NULL,
	"number" bigint NOT NULL,
	"dimensions" bigint NOT NULL,
	"vector" real[] NOT NULL,
	CONSTRAINT "agent_memory_vectors_pk" PRIMARY KEY("space","number","generation")
);
--> statement-breakpoint
ALTER TABLE "agent_memory_signatures" ADD CONSTRAINT "agent_memory_signatures_fk" FOREIGN KEY ("space","number") REFERENCES "public"."agent_memory_items"("space","number") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "agent_memory_vectors" ADD CONSTRAINT "agent_memory_vectors_fk" FOREIGN KEY ("space","number") REFERENCES "public"."agent_memory_items"("space","number") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "agent_memory_items_by_id" ON "agent_memory_items" USING btree ("id","owner");--> statement-breakpoint
CREATE UNIQUE INDEX "agent_memory_items_by_key" ON "agent_memory_items" USING btree ("space","item_key");--> statement-breakpoint
CREATE UNIQUE INDEX "agent_memory_items_by_text" ON "agent_memory_items" USING btree ("space","text_digest");--> statement-breakpoint
CREATE INDEX "agent_memory_items_by_thread" ON "agent_memory_items" USING btree ("space","thread_id","number");--> statement-breakpoint
CREATE INDEX "agent_memory_items_by_expiry" ON "agent_memory_items" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "agent_memory_spaces_by_name" ON "agent_memory_spaces" USING btree ("owner","collection","removal");--> statement-breakpoint
CREATE INDEX "agent_memory_threads_by_time" ON "agent_memory_threads" USING btree ("owner","kind","updated_at","id");