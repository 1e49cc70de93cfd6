CREATE TABLE "agent_checkpoint_settings" (
	"name" text COLLATE "C" PRIMARY KEY NOT NULL,
	"value" text COLLATE "C" NOT NULL
);--> statement-breakpoint
INSERT INTO "agent_checkpoint_settings" ("name", "value") VALUES ('replicated', 'no');
