import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConformanceStore, RowDamage, StoredRow } from "@waymark/conformance";
import type { DriverName } from "../src/drivers/driver.ts";
import { openOwn } from "./runtime-drivers.ts";

/** Makes a store in a folder of its own, and reads its file by a handle of its own. Tombstones do not count as rows. */
export async function conformanceStore(
  openIn: (folder: string) => { readonly databasePath: string } & Pick<ConformanceStore, "open" | "remote">,
  driver: DriverName = "better-sqlite3",
): Promise<ConformanceStore> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-sqlite-"));
  const { databasePath, ...access } = openIn(folder);
  const database = await openOwn(driver, databasePath);
  database.exec("pragma busy_timeout = 5000");
  const key = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");
  const columns = "agent_id as agentId, namespace, name, encoding, state, state_bytes as stateBytes, digest";
  const rows = "from agent_checkpoints where agent_id <> ''";
  const count = (from: string) => (database.prepare(`select count(*) as rows ${from}`).get() as { rows: number }).rows;
  const change = (table: string, column: string, id: string, damage: RowDamage) => {
    const { encoding = null, state = null, stateBytes = null, digest = null } = damage;
    const set =
      "encoding = coalesce(?, encoding), state = coalesce(?, state), state_bytes = coalesce(?, state_bytes), digest = coalesce(?, digest)";
    const statement = database.prepare(`update ${table} set ${set} where ${column} = ?`);
    statement.run(encoding, state, stateBytes, digest, key(id));
  };
  return {
    ...access,
    readRow: async (id) => (database.prepare(`select ${columns} ${rows} and id = ?`).get(key(id)) as StoredRow) ?? null,
    damageRow: async (id, damage) => change("agent_checkpoints", "id", id, damage),
    damageWrites: async (id, damage) => change("agent_checkpoint_writes", "checkpoint_id", id, damage),
    countWrites: async () => count("from agent_checkpoint_writes"),
    countRows: async () => count(rows),
    dispose: async () => {
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
}
