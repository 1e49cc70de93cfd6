import { getLoadablePath } from "sqlite-vec";
import { openSqliteHandle } from "../systems/raw.ts";
import { DIMENSIONS } from "./corpus.ts";
import { joinRanks } from "./ranks.ts";
import type { RecallSession, RecallSystem } from "./system.ts";

/**
 * sqlite-vec's table and FTS5, as a careful person writes it: the owner is the partition key, which reads the owner's vectors alone. As a
 * column with a filter all vectors are read.
 */
export const vec0: RecallSystem = {
  id: "vec0",
  title: "by hand: sqlite-vec's vec0, FTS5",
  runsOn: (database) => database.startsWith("sqlite"),
  async open(place) {
    if (place.kind !== "sqlite") throw new Error(`expected SQLite, got ${place.kind}`);
    return openSession(place);
  },
};

function openSession(place: { path: string; synchronous: string }): RecallSession {
  const database = openSqliteHandle(place);
  database.loadExtension(getLoadablePath());
  database.exec(`
    create table items (id integer primary key, owner text not null, text text not null, created_at integer not null);
    create virtual table vectors using vec0(owner text partition key, embedding float[${DIMENSIONS}] distance_metric=cosine);
    create virtual table texts using fts5(text, content='items', content_rowid='id')`);
  const insertItem = database.prepare("insert into items (owner, text, created_at) values (?, ?, ?)");
  const insertVector = database.prepare("insert into vectors (rowid, owner, embedding) values (?, ?, ?)");
  const insertText = database.prepare("insert into texts (rowid, text) values (?, ?)");
  const nearest = database.prepare<unknown[], { id: number }>(
    "select rowid as id from vectors where embedding match ? and owner = ? and k = ?",
  );
  const matching = database.prepare<unknown[], { id: number }>(
    `select items.id from texts join items on items.id = texts.rowid
     where texts match ? and items.owner = ? order by texts.rank limit ?`,
  );
  const read = database.prepare<unknown[], { id: number }>(
    "select * from items where id in (select value from json_each(?))",
  );
  const bytesOf = (vector: readonly number[]) => Buffer.from(Float32Array.from(vector).buffer);
  /** Reads the items, which a search is for. */
  const ids = (rows: readonly { id: number }[]) => {
    const found = rows.map(({ id }) => id);
    const items = new Map(read.all(JSON.stringify(found)).map((item) => [item.id, item]));
    return found.filter((id) => items.has(id)).map(String);
  };
  const byVector = (owner: string, vector: readonly number[], limit: number) =>
    nearest.all(bytesOf(vector), owner, limit);
  const byText = (owner: string, text: string, limit: number) =>
    matching.all(text.split(" ").map((word) => `"${word}"`).join(" OR "), owner, limit); // biome-ignore format: one line
  const add = database.transaction((items: Parameters<RecallSession["add"]>[0]) =>
    items.map(({ owner, text, vector }) => {
      const id = BigInt(insertItem.run(owner, text, Date.now()).lastInsertRowid);
      insertVector.run(id, owner, bytesOf(vector));
      insertText.run(id, text);
      return String(id);
    }),
  );
  return {
    add: async (items) => add(items),
    prepare: async () => void database.exec("analyze"),
    byVector: async (owner, vector, limit) => ids(byVector(owner, vector, limit)),
    byText: async (owner, text, limit) => ids(byText(owner, text, limit)),
    byBoth: async (owner, text, vector, limit) =>
      ids(joinRanks(byText(owner, text, 4 * limit), byVector(owner, vector, 4 * limit), limit)),
    close: async () => void database.close(),
  };
}
