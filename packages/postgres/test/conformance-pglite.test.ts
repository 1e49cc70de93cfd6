import { type ConformanceStore, describeCheckpointStorage, type RowDamage, type StoredRow } from "@waymark/conformance";
import { createPostgresStorage } from "@waymark/postgres";
import { newSchema, sharedPglite } from "./pglite-cases.ts";

// Without `processes`: one process at a time can open PGlite. `scale`, which takes minutes on it, is for \`npm run test:all\`.
describeCheckpointStorage({ name: "PGlite", parts: ["database"], model: { runs: 40 }, create: createStore });

async function createStore(): Promise<ConformanceStore> {
  const pglite = await sharedPglite();
  const { schema, drop } = await newSchema();
  const table = `${schema}.agent_checkpoints`;
  const first = async <Row>(sql: string, parameters: unknown[] = []) =>
    (await pglite.query<Row>(sql, parameters)).rows[0];
  const count = async (name: string) =>
    Number((await first<{ rows: number }>(`select count(*) as rows from ${name}`))?.rows);
  const damage = async (name: string, key: string, id: string, { stateBytes, ...columns }: RowDamage) => {
    const changed = Object.entries({ ...columns, ...(stateBytes !== undefined && { state_bytes: stateBytes }) });
    const set = changed.map(([column], at) => `${column} = $${at + 2}`).join(", ");
    await pglite.query(`update ${name} set ${set} where ${key} = $1`, [id, ...changed.map(([, value]) => value)]);
  };
  return {
    open: (common) => createPostgresStorage({ pglite, schema, ...common }),
    readRow: async (id) =>
      (await first<StoredRow>(
        `select agent_id as "agentId", namespace, name, encoding, state, state_bytes::int as "stateBytes", digest from ${table} where id = $1`,
        [id],
      )) ?? null,
    damageRow: (id, columns) => damage(table, "id", id, columns),
    damageWrites: (id, columns) => damage(`${schema}.agent_checkpoint_writes`, "checkpoint_id", id, columns),
    countWrites: () => count(`${schema}.agent_checkpoint_writes`),
    countRows: () => count(table),
    dispose: drop,
  };
}
