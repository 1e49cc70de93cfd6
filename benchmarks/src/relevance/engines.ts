import { createPool, type ResultSetHeader, type RowDataPacket } from "mysql2/promise";
import postgres from "postgres";
import type { Place } from "../databases.ts";
import { openSqliteHandle } from "../systems/raw.ts";
import type { SearchedItem, Searcher } from "./searcher.ts";

/** The databases' own search by words, at its best: any of the words of a query, in English where there is a choice. */
export async function openEngine(place: Place): Promise<Searcher> {
  switch (place.kind) {
    case "sqlite":
      return openFts5(place);
    case "postgres":
      return await openTsvector(place.url);
    case "mysql":
      return await openFulltext(place.url);
  }
}

/** Words of a query as the engines' own syntax wants them: nothing that it might take for an operator. */
function wordsOf(text: string): string[] {
  return text.match(/[\p{L}\p{N}]+/gu) ?? [];
}

function openFts5(place: { path: string; synchronous: string }): Searcher {
  const database = openSqliteHandle(place);
  database.exec("create virtual table texts using fts5(text, tokenize='porter unicode61')");
  const insert = database.prepare("insert into texts (rowid, text) values (?, ?)");
  const search = database.prepare<unknown[], { rowid: number }>(
    "select rowid from texts where texts match ? order by rank limit ?",
  );
  return {
    title: "FTS5, porter, any word",
    add: async (items) => {
      database.transaction(() => {
        for (const [at, { text }] of items.entries()) insert.run(at, text);
      })();
    },
    async search({ text, limit }) {
      const query = wordsOf(text ?? "").map((word) => `"${word}"`);
      return search.all(query.join(" OR "), limit).map(({ rowid }) => rowid);
    },
    close: async () => void database.close(),
  };
}

async function openTsvector(url: string): Promise<Searcher> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql.unsafe(`
    create table texts (id integer primary key, words tsvector not null);
    create index on texts using gin (words)`);
  return {
    title: "tsvector, english, any word, ts_rank",
    async add(items) {
      const rows = items.map(({ text }, at) => [at, text] as const);
      await sql`insert into texts select id::integer, to_tsvector('english', text)
        from unnest(${rows.map(([id]) => String(id))}::text[], ${rows.map(([, text]) => text)}::text[]) as row (id, text)`;
      await sql`vacuum analyze texts`;
    },
    async search({ text, limit }) {
      const query = wordsOf(text ?? "").join(" | ");
      const found = await sql<{ id: number }[]>`
        select id from texts where words @@ to_tsquery('english', ${query})
        order by ts_rank(words, to_tsquery('english', ${query})) desc, id limit ${limit}`;
      return found.map(({ id }) => id);
    },
    close: () => sql.end({ timeout: 5 }),
  };
}

async function openFulltext(url: string): Promise<Searcher> {
  const pool = createPool({ uri: url, connectionLimit: 1, charset: "utf8mb4" });
  await pool.query("create table texts (id int primary key, text text not null, fulltext (text)) charset utf8mb4");
  return {
    title: "InnoDB FULLTEXT, natural language",
    async add(items: readonly SearchedItem[]) {
      const rows = items.map(({ text }, at) => [at, text]);
      await pool.query<ResultSetHeader>("insert into texts (id, text) values ?", [rows]);
      await pool.query("optimize table texts");
    },
    async search({ text, limit }) {
      const [rows] = await pool.query<RowDataPacket[]>(
        `select id from texts where match (text) against (?) order by match (text) against (?) desc, id limit ${limit}`,
        [text, text],
      );
      return rows.map(({ id }) => Number(id));
    },
    close: () => pool.end(),
  };
}
