import type { CheckedMemoryPolicy } from "./arguments.ts";
import type { MemoryPruneResult } from "./contract.ts";
import type { ItemFilter } from "./dialect.ts";
import type { MemoryEngine } from "./engine.ts";
import { removeWhere } from "./remove.ts";
import { spacesOf } from "./spaces.ts";
import { ITEMS } from "./tables.ts";

/** Pruning: what a policy does not keep, a commit at a time. */

const OPERATION = "prune memory";

export async function pruneMemory(engine: MemoryEngine, policy: CheckedMemoryPolicy): Promise<MemoryPruneResult> {
  const { dryRun, signal } = policy;
  let removed = 0;
  for (const where of await filtersOf(engine, policy)) {
    removed += dryRun
      ? await engine.session.run(OPERATION, signal, (deadline) => engine.dialect.records.count(ITEMS, where, deadline))
      : await removeWhere(engine, OPERATION, where, signal);
  }
  return { removed };
}

/** Returns filters of what is to go. With `dryRun` an item that several rules name is counted for each. */
async function filtersOf(engine: MemoryEngine, policy: CheckedMemoryPolicy): Promise<ItemFilter[]> {
  const { owner, collection, expired, keepLast, minImportance, olderThanMs, signal } = policy;
  const now = Date.now();
  const isExpired = { expiresAt: { to: now } };
  if (owner === null) return [isExpired];
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    const filters: ItemFilter[] = [];
    for (const { number: space } of await spacesOf(engine, owner, collection, deadline)) {
      if (expired) filters.push({ space, ...isExpired });
      if (minImportance !== null) filters.push({ space, importance: { below: minImportance } });
      if (olderThanMs !== null) filters.push({ space, createdAt: { below: now - olderThanMs } });
      if (keepLast === null) continue;
      const last = await engine.dialect.records.find(
        ITEMS,
        { where: { space }, columns: ["number"], order: [["number", "desc"]], limit: 1, offset: keepLast },
        deadline,
      );
      for (const { number } of last) filters.push({ space, number: { to: number } });
    }
    return filters;
  });
}
