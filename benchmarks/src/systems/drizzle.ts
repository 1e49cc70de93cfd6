import { desc, eq } from "drizzle-orm";
import { drizzle as drizzleSqlite } from "drizzle-orm/better-sqlite3";
import * as my from "drizzle-orm/mysql-core";
import { drizzle as drizzleMysql } from "drizzle-orm/mysql2";
import * as pg from "drizzle-orm/pg-core";
import { drizzle as drizzlePostgres } from "drizzle-orm/postgres-js";
import * as lite from "drizzle-orm/sqlite-core";
import { createPool } from "mysql2/promise";
import postgres from "postgres";
import { MYSQL_TABLE, openSqliteHandle, SQLITE_TABLE } from "./raw.ts";
import { POOL_SIZE, present, type Session, type System } from "./system.ts";

/** A table and queries as Drizzle's documentation writes them: nothing prepared, the state as a JSON column. */
export const drizzle: System = {
  id: "drizzle",
  title: "Drizzle, plainly",
  states: "live",
  async open(place, fresh) {
    switch (place.kind) {
      case "sqlite":
        return openSqlite(place, fresh);
      case "postgres":
        return await openPostgres(place.url, fresh);
      case "mysql":
        return await openMysql(place.url, fresh);
    }
  },
};

function openSqlite(place: { path: string; synchronous: string }, fresh: boolean): Session {
  const table = lite.sqliteTable("checkpoints", {
    id: lite.integer("id").primaryKey(),
    agentId: lite.text("agent_id").notNull(),
    name: lite.text("name").notNull(),
    createdAt: lite.integer("created_at").notNull(),
    state: lite.text("state", { mode: "json" }).notNull(),
  });
  const handle = openSqliteHandle(place);
  if (fresh) handle.exec(SQLITE_TABLE);
  const db = drizzleSqlite({ client: handle });
  return {
    async store({ agentId, turn, state }) {
      const values = { agentId, name: `turn ${turn}`, createdAt: Date.now(), state };
      const [row] = await db.insert(table).values(values).returning({ id: table.id });
      return String(present(row, "a row").id);
    },
    async retrieve(_, id) {
      const [row] = await db
        .select({ state: table.state })
        .from(table)
        .where(eq(table.id, Number(id)));
      return present(row, "a row").state;
    },
    async retrieveLatest(agentId) {
      const [row] = await db
        .select({ state: table.state })
        .from(table)
        .where(eq(table.agentId, agentId))
        .orderBy(desc(table.id))
        .limit(1);
      return present(row, "a row").state;
    },
    async list(agentId, limit) {
      const { id, name, createdAt } = table;
      const rows = await db
        .select({ id, name, createdAt })
        .from(table)
        .where(eq(table.agentId, agentId))
        .orderBy(desc(id))
        .limit(limit);
      return rows.length;
    },
    close: async () => void handle.close(),
  };
}

async function openPostgres(url: string, fresh: boolean): Promise<Session> {
  const table = pg.pgTable("checkpoints", {
    id: pg.bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    agentId: pg.text("agent_id").notNull(),
    name: pg.text("name").notNull(),
    createdAt: pg.bigint("created_at", { mode: "number" }).notNull(),
    state: pg.json("state").notNull(),
  });
  const client = postgres(url, { max: POOL_SIZE, onnotice: () => {} });
  if (fresh) {
    await client`create table checkpoints (id bigint generated always as identity primary key, agent_id text not null, name text not null, created_at bigint not null, state json not null)`;
    await client`create index checkpoints_by_agent on checkpoints (agent_id, id)`;
  }
  await client`select 1`;
  const db = drizzlePostgres({ client });
  return {
    async store({ agentId, turn, state }) {
      const values = { agentId, name: `turn ${turn}`, createdAt: Date.now(), state };
      const [row] = await db.insert(table).values(values).returning({ id: table.id });
      return String(present(row, "a row").id);
    },
    async retrieve(_, id) {
      const [row] = await db
        .select({ state: table.state })
        .from(table)
        .where(eq(table.id, Number(id)));
      return present(row, "a row").state;
    },
    async retrieveLatest(agentId) {
      const [row] = await db
        .select({ state: table.state })
        .from(table)
        .where(eq(table.agentId, agentId))
        .orderBy(desc(table.id))
        .limit(1);
      return present(row, "a row").state;
    },
    async list(agentId, limit) {
      const { id, name, createdAt } = table;
      const rows = await db
        .select({ id, name, createdAt })
        .from(table)
        .where(eq(table.agentId, agentId))
        .orderBy(desc(id))
        .limit(limit);
      return rows.length;
    },
    close: () => client.end({ timeout: 5 }),
  };
}

async function openMysql(url: string, fresh: boolean): Promise<Session> {
  // Drizzle's own json() comes back as text from MariaDB, whose JSON is a longtext.
  const json = my.customType<{ data: unknown; driverData: string }>({
    dataType: () => "longtext",
    toDriver: (value) => JSON.stringify(value),
    fromDriver: (text) => JSON.parse(text),
  });
  const table = my.mysqlTable("checkpoints", {
    id: my.bigint("id", { mode: "number" }).primaryKey().autoincrement(),
    agentId: my.varchar("agent_id", { length: 255 }).notNull(),
    name: my.text("name").notNull(),
    createdAt: my.bigint("created_at", { mode: "number" }).notNull(),
    state: json("state").notNull(),
  });
  const pool = createPool({ uri: url, connectionLimit: POOL_SIZE, charset: "utf8mb4" });
  if (fresh) await pool.query(MYSQL_TABLE);
  await pool.query("select 1");
  const db = drizzleMysql({ client: pool });
  return {
    async store({ agentId, turn, state }) {
      const values = { agentId, name: `turn ${turn}`, createdAt: Date.now(), state };
      const [row] = await db.insert(table).values(values).$returningId();
      return String(present(row, "a row").id);
    },
    async retrieve(_, id) {
      const [row] = await db
        .select({ state: table.state })
        .from(table)
        .where(eq(table.id, Number(id)));
      return present(row, "a row").state;
    },
    async retrieveLatest(agentId) {
      const [row] = await db
        .select({ state: table.state })
        .from(table)
        .where(eq(table.agentId, agentId))
        .orderBy(desc(table.id))
        .limit(1);
      return present(row, "a row").state;
    },
    async list(agentId, limit) {
      const { id, name, createdAt } = table;
      const rows = await db
        .select({ id, name, createdAt })
        .from(table)
        .where(eq(table.agentId, agentId))
        .orderBy(desc(id))
        .limit(limit);
      return rows.length;
    },
    close: () => pool.end(),
  };
}
