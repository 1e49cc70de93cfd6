import postgres from "postgres";
import type { Place } from "../databases.ts";
import { POOL_SIZE } from "../systems/system.ts";
import { DIMENSIONS } from "./corpus.ts";
import { joinRanks } from "./ranks.ts";
import type { RecallSession, RecallSystem } from "./system.ts";

/** pgvector and a tsvector, as a careful person writes it: vectors within the row, an index of owners, and all vectors of one compared. */
export const pgvector: RecallSystem = {
  id: "pgvector",
  title: "by hand: pgvector exact, tsvector",
  runsOn: (database) => database === "postgres-vector",
  open: (place) => openSession(place, false),
};

/**
 * The same with an HNSW index over all owners' vectors, built after loading, which goes on until it has enough of the owner's. The planner
 * would rather compare all vectors of an owner; here it must use the index.
 */
export const pgvectorHnsw: RecallSystem = {
  id: "pgvector-hnsw",
  title: "by hand: pgvector HNSW, iterative scan",
  runsOn: (database) => database === "postgres-vector",
  open: (place) => openSession(place, true),
};

interface Row {
  readonly id: string;
}

async function openSession(place: Place, hasIndex: boolean): Promise<RecallSession> {
  if (place.kind !== "postgres") throw new Error(`expected PostgreSQL, got ${place.kind}`);
  const scan = { "hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "100", enable_sort: "off", jit: "off" };
  const connection = { max: POOL_SIZE, fetch_types: false, onnotice: () => {} };
  const sql = postgres(place.url, connection);
  const searching = hasIndex ? postgres(place.url, { ...connection, connection: scan as object }) : sql;
  await sql.unsafe(`
    create table items (id bigint generated always as identity primary key, owner text not null, text text not null,
      words tsvector generated always as (to_tsvector('simple', text)) stored, embedding vector(${DIMENSIONS}) not null);
    alter table items alter embedding set storage main;
    create index items_by_owner on items (owner);
    create index items_by_word on items using gin (words)`);
  const textOf = (vector: readonly number[]) => `[${vector.join()}]`;
  const byVector = (owner: string, vector: readonly number[], limit: number) => searching<Row[]>`
    select id, text from items where owner = ${owner} order by embedding <=> ${textOf(vector)}::vector limit ${limit}`;
  const byText = (owner: string, text: string, limit: number) => {
    const query = text.split(" ").join(" | ");
    return sql<Row[]>`
      select id, text from items where owner = ${owner} and words @@ to_tsquery('simple', ${query})
      order by ts_rank(words, to_tsquery('simple', ${query})) desc, id desc limit ${limit}`;
  };
  const ids = (rows: readonly Row[]) => rows.map(({ id }) => id);
  return {
    async add(items) {
      const rows = items.map(({ owner, text, vector }) => ({ owner, text, embedding: textOf(vector) }));
      return ids(await sql<Row[]>`insert into items ${sql(rows)} returning id`);
    },
    async prepare() {
      if (hasIndex) {
        await sql.unsafe(
          "set maintenance_work_mem = '1GB'; create index on items using hnsw (embedding vector_cosine_ops)",
        );
      }
      await sql`vacuum analyze items`;
    },
    byVector: async (owner, vector, limit) => ids(await byVector(owner, vector, limit)),
    byText: async (owner, text, limit) => ids(await byText(owner, text, limit)),
    async byBoth(owner, text, vector, limit) {
      const sides = await Promise.all([byText(owner, text, 4 * limit), byVector(owner, vector, 4 * limit)]);
      return ids(joinRanks<Row>(...(sides as [Row[], Row[]]), limit));
    },
    async close() {
      await Promise.all([sql.end({ timeout: 5 }), searching.end({ timeout: 5 })]);
    },
  };
}
