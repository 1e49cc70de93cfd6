import { createSQLiteMemory } from "@waymark/sqlite/memory";
import Database from "better-sqlite3";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** A table of the application's own. A user's id is the owner in memory. */
export const users = sqliteTable("users", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  plan: text("plan", { enum: ["free", "pro"] }).notNull(),
  createdAt: integer("created_at", { mode: "timestamp_ms" }).notNull(),
});

/** Opens the application's database: its own tables and those of memory, on one connection. */
export async function openApplication(databasePath: string) {
  const client = new Database(databasePath);
  client.pragma("journal_mode = wal");
  client.pragma("foreign_keys = on"); // memory needs them
  const db = drizzle({ client });
  db.run(sql`create table if not exists users (
    id text primary key, name text not null, plan text not null, created_at integer not null
  )`); // an application has migrations for this

  const memory = createSQLiteMemory({ database: client });
  await memory.migrate(); // else its tables are made at its first call, and a join may come before
  return {
    db,
    memory,
    async close() {
      await memory.close();
      client.close(); // a database that was handed in stays its owner's to close
    },
  };
}

export type Application = Awaited<ReturnType<typeof openApplication>>;
