import { type ConformanceStore, describeCheckpointStorage, type RowDamage, type StoredRow } from "@waymark/conformance";
import { createPostgresStorage } from "@waymark/postgres";
import postgres from "postgres";
import { inject } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";

const server = inject("waymarkServers").postgres;
if (server) describeCheckpointStorage({ name: `PostgreSQL ${server.version}`, create: () => createStore(server.url) });

async function createStore(serverUrl: string): Promise<ConformanceStore> {
  const database = await createDatabase(serverUrl);
  const options = { type: "postgres", connectionString: database.url, poolSize: 4 } as const;
  const around = postgres(database.url, { max: 1 }); // its own connection, beside the storages'
  const count = { to: 20, from: [20], serialize: String, parse: Number };
  const table = around("agent_checkpoints");
  const columnsOf = ({ stateBytes, ...damage }: RowDamage) =>
    around({ ...damage, ...(stateBytes === undefined ? {} : { state_bytes: around.typed(stateBytes, count.to) }) });
  return {
    open: (common) => createPostgresStorage({ ...options, ...common }),
    readRow: async (id) => {
      const [row] = await around<StoredRow[]>`select agent_id as "agentId", namespace, name, encoding, state,
        state_bytes::int as "stateBytes", digest from ${table} where id = ${id}`;
      return row ?? null;
    },
    damageRow: async (id, damage) => {
      await around`update ${table} set ${columnsOf(damage)} where id = ${id}`;
    },
    damageWrites: async (id, damage) => {
      await around`update agent_checkpoint_writes set ${columnsOf(damage)} where checkpoint_id = ${id}`;
    },
    countWrites: async () => Number((await around`select count(*) as rows from agent_checkpoint_writes`)[0]?.["rows"]),
    countRows: async () => Number((await around`select count(*) as rows from ${table}`)[0]?.["rows"]),
    remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
    dispose: async () => {
      await around.end({ timeout: 5 });
      await database.drop();
    },
  };
}
