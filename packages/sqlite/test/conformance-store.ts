import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConformanceStore, RowDamage, StoredRow } from "@waymark/conformance";
import Database from "better-sqlite3";

/** A file in a folder of its own, with a handle beside the storages'. Tombstones are nobody's rows. */
export function conformanceStore(
  how: (folder: string) => { readonly databasePath: string } & Pick<ConformanceStore, "open" | "remote">,
): ConformanceStore {
  const folder = mkdtempSync(join(tmpdir(), "waymark-sqlite-"));
  const { databasePath, ...ways } = how(folder);
  const around = new Database(databasePath);
  around.pragma("busy_timeout = 5000");
  const key = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");
  const columns = "agent_id as agentId, namespace, name, encoding, state, state_bytes as stateBytes, digest";
  const rows = "from agent_checkpoints where agent_id <> ''";
  const change = (table: string, column: string, id: string, damage: RowDamage) => {
    const { encoding, state, stateBytes, digest } = damage;
    const set =
      "encoding = coalesce(?, encoding), state = coalesce(?, state), state_bytes = coalesce(?, state_bytes), digest = coalesce(?, digest)";
    const statement = around.prepare(`update ${table} set ${set} where ${column} = ?`);
    statement.run(encoding, state, stateBytes, digest, key(id));
  };
  return {
    ...ways,
    readRow: async (id) => (around.prepare(`select ${columns} ${rows} and id = ?`).get(key(id)) as StoredRow) ?? null,
    damageRow: async (id, damage) => change("agent_checkpoints", "id", id, damage),
    damageWrites: async (id, damage) => change("agent_checkpoint_writes", "checkpoint_id", id, damage),
    countWrites: async () => around.prepare("select count(*) from agent_checkpoint_writes").pluck().get() as number,
    countRows: async () => (around.prepare(`select count(*) as rows ${rows}`).get() as { rows: number }).rows,
    dispose: async () => {
      around.close();
      rmSync(folder, { recursive: true });
    },
  };
}
