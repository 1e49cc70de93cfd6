import { type Records, removeRecords } from "@waymark/core/records";
import { checkUuid, checkUuids } from "../checks.ts";
import type { UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { MEMORIES } from "../tables.ts";
import { checkTable } from "./memory-rows.ts";

/** Removing memories. With a document go its fragments: the memories of this agent whose metadata name it. */

/** Memories that a commit removes. */
const REMOVED_AT_ONCE = 5_000;

/** Deletes memories with their fragments, thousands in one commit. */
export async function deleteMemories(database: Database, operation: string, memoryIds: readonly UUID[]): Promise<void> {
  const ids = [...new Set(checkUuids("memoryIds", memoryIds))];
  for (let at = 0; at < ids.length; at += REMOVED_AT_ONCE) {
    const some = ids.slice(at, at + REMOVED_AT_ONCE);
    await database.run(operation, (records, signal) => removeSome(database, records, some, signal));
  }
}

/** Deletes a table's memories of a room, those of other agents too. */
export async function deleteAllMemories(database: Database, roomId: UUID, tableName: string): Promise<void> {
  const where = { room: checkUuid("roomId", roomId), type: checkTable(tableName) };
  for (let isLast = false; !isLast; ) {
    isLast = await database.run("delete all memories", async (records, signal) => {
      const rows = await records.find(MEMORIES, { where, columns: ["id"], limit: REMOVED_AT_ONCE }, signal);
      const ids = rows.map(({ id }) => id);
      if (ids.length > 0) await removeSome(database, records, ids, signal);
      return ids.length < REMOVED_AT_ONCE;
    });
  }
}

async function removeSome(
  { agentId: agent }: Database,
  records: Records,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const some = { in: ids };
  await records.change(
    [removeRecords(MEMORIES, { document: some, agent }), removeRecords(MEMORIES, { id: some })],
    signal,
  );
}
