import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConformanceStore, describeCheckpointStorage, type RowDamage, type StoredRow } from "@waymark/conformance";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";

describeCheckpointStorage({ name: "SQLite", model: { runs: 2_000 }, create: async () => createStore() });

function createStore(): ConformanceStore {
  const folder = mkdtempSync(join(tmpdir(), "waymark-sqlite-"));
  const options = { type: "sqlite", databasePath: join(folder, "state.db") } as const;
  const around = new Database(options.databasePath); // its own handle, beside the storages'
  around.pragma("busy_timeout = 5000");
  const key = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");
  const columns = "agent_id as agentId, namespace, name, encoding, state, state_bytes as stateBytes, digest";
  return {
    open: (common) => createSQLiteStorage({ ...options, ...common }),
    readRow: async (id) =>
      (around.prepare(`select ${columns} from agent_checkpoints where id = ?`).get(key(id)) as StoredRow) ?? null,
    damageRow: async (id, { encoding, state, stateBytes, digest }: RowDamage) => {
      const change =
        "encoding = coalesce(?, encoding), state = coalesce(?, state), state_bytes = coalesce(?, state_bytes), digest = coalesce(?, digest)";
      around
        .prepare(`update agent_checkpoints set ${change} where id = ?`)
        .run(encoding, state, stateBytes, digest, key(id));
    },
    countRows: async () =>
      (around.prepare("select count(*) as rows from agent_checkpoints").get() as { rows: number }).rows,
    remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
    dispose: async () => {
      around.close();
      rmSync(folder, { recursive: true });
    },
  };
}
