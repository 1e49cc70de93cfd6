import { type ConformanceStore, describeCheckpointStorage, type RowDamage, type StoredRow } from "@waymark/conformance";
import { createMySQLStorage } from "@waymark/mysql";
import mysql, { type RowDataPacket } from "mysql2/promise";
import { inject } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";

// `scale` and `processes` on one of them, except in `npm run test:all`: both have the same statements.
for (const [kind, name, parts] of [
  ["mysql", "MySQL", ["database", "scale", "processes"]],
  ["mariadb", "MariaDB", ["database"]],
] as const) {
  const server = inject("waymarkServers")[kind];
  if (server) {
    describeCheckpointStorage({
      name: `${name} ${server.version}`,
      parts,
      create: () => createStore(server.url),
    });
  }
}

async function createStore(serverUrl: string): Promise<ConformanceStore> {
  const database = await createDatabase(serverUrl);
  const options = { type: "mysql", connectionString: database.url, poolSize: 4 } as const;
  const connection = await mysql.createConnection(database.url); // its own, beside those of the storages
  const query = async (text: string, values: unknown[] = []) =>
    (await connection.query<RowDataPacket[]>(text, values))[0];
  const key = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");
  const columns =
    "convert(agent_id using utf8mb4) agentId, convert(namespace using utf8mb4) namespace, convert(name using utf8mb4) name, convert(encoding using utf8mb4) encoding, state, state_bytes stateBytes, digest";
  const columnsOf = ({ stateBytes, ...damage }: RowDamage) => {
    return { ...damage, ...(stateBytes === undefined ? {} : { state_bytes: stateBytes }) };
  };
  return {
    open: (common) => createMySQLStorage({ ...options, ...common }),
    readRow: async (id) =>
      ((await query(`select ${columns} from agent_checkpoints where id = ?`, [key(id)]))[0] as StoredRow) ?? null,
    damageRow: async (id, damage) => {
      await query("update agent_checkpoints set ? where id = ?", [columnsOf(damage), key(id)]);
    },
    damageWrites: async (id, damage) => {
      await query("update agent_checkpoint_writes set ? where checkpoint_id = ?", [columnsOf(damage), key(id)]);
    },
    countWrites: async () => (await query("select count(*) as count from agent_checkpoint_writes"))[0]?.["count"],
    countRows: async () => (await query("select count(*) as count from agent_checkpoints"))[0]?.["count"],
    remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
    dispose: async () => {
      await connection.end();
      await database.drop();
    },
  };
}
