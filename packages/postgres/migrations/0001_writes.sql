CREATE TABLE "agent_checkpoint_writes" (
	"checkpoint_id" uuid NOT NULL,
	"task_id" text COLLATE "C" NOT NULL,
	"write_index" integer NOT NULL,
	"write_rank" uuid NOT NULL,
	"channel" text COLLATE "C" NOT NULL,
	"task_path" text COLLATE "C" NOT NULL,
	"encoding" text COLLATE "C" NOT NULL,
	"state_bytes" bigint NOT NULL,
	"digest" "bytea" NOT NULL,
	"state" "bytea" NOT NULL,
	CONSTRAINT "agent_checkpoint_writes_pk" PRIMARY KEY("checkpoint_id","task_id","write_index")
);
--> statement-breakpoint
ALTER TABLE "agent_checkpoint_writes" ADD CONSTRAINT "agent_checkpoint_writes_fk" FOREIGN KEY ("checkpoint_id") REFERENCES "public"."agent_checkpoints"("id") ON DELETE cascade ON UPDATE no action;