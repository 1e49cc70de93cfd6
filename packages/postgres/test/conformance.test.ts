import { type ConformanceStore, describeCheckpointStorage, type RowDamage, type StoredRow } from "@waymark/conformance";
import { createPostgresStorage } from "@waymark/postgres";
import postgres from "postgres";
import { inject } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";

const server = inject("waymarkServers").postgres;
if (server) {
  describeCheckpointStorage({
    name: `PostgreSQL ${server.version}`,
    parts: ["database", "scale", "processes"],
    create: () => createStore(server.url),
  });
}

async function createStore(serverUrl: string): Promise<ConformanceStore> {
  const database = await createDatabase(serverUrl);
  const options = { type: "postgres", connectionString: database.url, poolSize: 4 } as const;
  const sql = postgres(database.url, { max: 1 }); // a connection of its own, beside those of the storages
  const count = { to: 20, from: [20], serialize: String, parse: Number };
  const table = sql("agent_checkpoints");
  const columnsOf = ({ stateBytes, ...damage }: RowDamage) =>
    sql({ ...damage, ...(stateBytes === undefined ? {} : { state_bytes: sql.typed(stateBytes, count.to) }) });
  return {
    open: (common) => createPostgresStorage({ ...options, ...common }),
    readRow: async (id) => {
      const [row] = await sql<StoredRow[]>`select agent_id as "agentId", namespace, name, encoding, state,
        state_bytes::int as "stateBytes", digest from ${table} where id = ${id}`;
      return row ?? null;
    },
    damageRow: async (id, damage) => {
      await sql`update ${table} set ${columnsOf(damage)} where id = ${id}`;
    },
    damageWrites: async (id, damage) => {
      await sql`update agent_checkpoint_writes set ${columnsOf(damage)} where checkpoint_id = ${id}`;
    },
    countWrites: async () => Number((await sql`select count(*) as rows from agent_checkpoint_writes`)[0]?.["rows"]),
    countRows: async () => Number((await sql`select count(*) as rows from ${table}`)[0]?.["rows"]),
    remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
    dispose: async () => {
      await sql.end({ timeout: 5 });
      await database.drop();
    },
  };
}
