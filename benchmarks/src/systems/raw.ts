import { randomBytes } from "node:crypto";
import BetterSqlite3, { type Database } from "better-sqlite3";
import { createPool, type ResultSetHeader, type RowDataPacket } from "mysql2/promise";
import postgres from "postgres";
import type { Place } from "../databases.ts";
import { POOL_SIZE, present, type Session, type Step, type System } from "./system.ts";

/** The table of the systems that make none of their own. */
export const SQLITE_TABLE = `
  create table checkpoints (id integer primary key, agent_id text not null, name text not null, created_at integer not null, state text not null);
  create index checkpoints_by_agent on checkpoints (agent_id, id)`;
export const MYSQL_TABLE = `
  create table checkpoints (id bigint auto_increment primary key, agent_id varchar(255) not null, name text not null, created_at bigint not null, state longtext not null, index checkpoints_by_agent (agent_id, id)) engine=InnoDB charset=utf8mb4`;

/** Code by hand with the driver, as a careful person writes it: prepared statements, and a row with the whole state as JSON. */
export const raw: System = { id: "raw", title: "raw driver, whole JSON", states: "live", open: openRaw() };

/** PostgreSQL compresses large values with pglz unless told otherwise. */
export const rawLz4: System = {
  id: "raw-lz4",
  title: "raw driver, column compressed by lz4",
  states: "live",
  open: openRaw("set compression lz4"),
};
export const rawExternal: System = {
  id: "raw-external",
  title: "raw driver, column uncompressed (EXTERNAL)",
  states: "live",
  open: openRaw("set storage external"),
};

/** The least that a durable store of a state can cost: one `JSON.stringify` of it, and one durable insert of 2 kB. */
export const floor: System = {
  id: "floor",
  title: "one JSON.stringify + one durable 2 kB insert",
  states: "live",
  isFloor: true,
  async open(place, fresh) {
    const session = await openRaw()(place, fresh);
    const row = JSON.stringify(randomBytes(1_498).toString("base64"));
    return {
      ...session,
      async store(step) {
        if (JSON.stringify(step.state).length === 0) throw new Error("expected JSON, got none");
        return await session.store(step, row);
      },
    };
  },
};

interface RawSession extends Session {
  store(step: Step, json?: string): Promise<string>;
}

function openRaw(columnStorage?: string) {
  return async (place: Place, fresh: boolean): Promise<RawSession> => {
    switch (place.kind) {
      case "sqlite":
        return openSqlite(openSqliteHandle(place), fresh);
      case "postgres":
        return await openPostgres(place.url, fresh, columnStorage);
      case "mysql":
        return await openMysql(place.url, fresh);
    }
  };
}

/** A handle of better-sqlite3 with the settings that everybody gets. */
export function openSqliteHandle({ path, synchronous }: { path: string; synchronous: string }): Database {
  const database = new BetterSqlite3(path);
  database.pragma("journal_mode = WAL");
  database.pragma(`synchronous = ${synchronous}`);
  return database;
}

function openSqlite(database: Database, fresh: boolean): RawSession {
  if (fresh) database.exec(SQLITE_TABLE);
  const insert = database.prepare("insert into checkpoints (agent_id, name, created_at, state) values (?, ?, ?, ?)");
  const byId = database.prepare<unknown[], { state: string }>("select state from checkpoints where id = ?");
  const latest = database.prepare<unknown[], { state: string }>(
    "select state from checkpoints where agent_id = ? order by id desc limit 1",
  );
  const newest = database.prepare(
    "select id, name, created_at from checkpoints where agent_id = ? order by id desc limit ?",
  );
  return {
    async store({ agentId, turn, state }, json = JSON.stringify(state)) {
      return String(insert.run(agentId, `turn ${turn}`, Date.now(), json).lastInsertRowid);
    },
    async retrieve(_, id) {
      return JSON.parse(present(byId.get(Number(id)), "a row").state);
    },
    async retrieveLatest(agentId) {
      return JSON.parse(present(latest.get(agentId), "a row").state);
    },
    list: async (agentId, limit) => newest.all(agentId, limit).length,
    close: async () => void database.close(),
  };
}

async function openPostgres(url: string, fresh: boolean, columnStorage?: string): Promise<RawSession> {
  const sql = postgres(url, { max: POOL_SIZE, onnotice: () => {} });
  if (fresh) {
    await sql`create table checkpoints (id bigint generated always as identity primary key, agent_id text not null, name text not null, created_at bigint not null, state text not null)`;
    await sql`create index checkpoints_by_agent on checkpoints (agent_id, id)`;
    if (columnStorage) await sql.unsafe(`alter table checkpoints alter column state ${columnStorage}`);
  }
  await sql`select 1`;
  const parse = (rows: readonly { state: string }[]) => JSON.parse(present(rows[0], "a row").state);
  return {
    async store({ agentId, turn, state }, json = JSON.stringify(state)) {
      const [row] = await sql<{ id: string }[]>`
        insert into checkpoints (agent_id, name, created_at, state)
        values (${agentId}, ${`turn ${turn}`}, ${Date.now()}, ${json}) returning id`;
      return present(row, "a row").id;
    },
    retrieve: async (_, id) => parse(await sql<{ state: string }[]>`select state from checkpoints where id = ${id}`),
    retrieveLatest: async (agentId) =>
      parse(
        await sql<
          { state: string }[]
        >`select state from checkpoints where agent_id = ${agentId} order by id desc limit 1`,
      ),
    async list(agentId, limit) {
      const rows =
        await sql`select id, name, created_at from checkpoints where agent_id = ${agentId} order by id desc limit ${limit}`;
      return rows.length;
    },
    close: () => sql.end({ timeout: 5 }),
  };
}

async function openMysql(url: string, fresh: boolean): Promise<RawSession> {
  const pool = createPool({ uri: url, connectionLimit: POOL_SIZE, charset: "utf8mb4" });
  if (fresh) await pool.query(MYSQL_TABLE);
  await pool.query("select 1");
  const parse = (rows: readonly RowDataPacket[]) => JSON.parse(present(rows[0], "a row")["state"]);
  const select = async (statement: string, parameters: (string | number)[]) => {
    const [rows] = await pool.execute<RowDataPacket[]>(statement, parameters);
    return rows;
  };
  return {
    async store({ agentId, turn, state }, json = JSON.stringify(state)) {
      const [result] = await pool.execute<ResultSetHeader>(
        "insert into checkpoints (agent_id, name, created_at, state) values (?, ?, ?, ?)",
        [agentId, `turn ${turn}`, Date.now(), json],
      );
      return String(result.insertId);
    },
    retrieve: async (_, id) => parse(await select("select state from checkpoints where id = ?", [id])),
    retrieveLatest: async (agentId) =>
      parse(await select("select state from checkpoints where agent_id = ? order by id desc limit 1", [agentId])),
    async list(agentId, limit) {
      // MySQL takes a prepared LIMIT as text only.
      const rows = await select(
        "select id, name, created_at from checkpoints where agent_id = ? order by id desc limit ?",
        [agentId, String(limit)],
      );
      return rows.length;
    },
    close: () => pool.end(),
  };
}
