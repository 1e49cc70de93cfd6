import type { CheckedMemoryPolicy } from "./arguments.ts";
import type { MemoryPruneResult, MemoryPruneRule } from "./contract.ts";
import type { RowFilter } from "./dialect.ts";
import type { MemoryEngine } from "./engine.ts";
import { removeWhere } from "./remove.ts";
import { inPieces, spacesOf } from "./spaces.ts";
import { ITEMS } from "./tables.ts";

/** Pruning: what a policy does not keep, a commit at a time. */

const OPERATION = "prune memory";

/** Items that one rule names, and no rule before it. */
interface Named {
  readonly rule: MemoryPruneRule;
  readonly where: RowFilter;
}

export async function pruneMemory(engine: MemoryEngine, policy: CheckedMemoryPolicy): Promise<MemoryPruneResult> {
  const { dryRun, signal } = policy;
  const byRule: { [rule in MemoryPruneRule]?: number } = {};
  for (const rule of rulesOf(policy)) byRule[rule] = 0;
  let removed = 0;
  for (const { rule, where } of await namedBy(engine, policy)) {
    const count = dryRun
      ? await engine.session.run(OPERATION, signal, (deadline) => engine.dialect.records.count(ITEMS, where, deadline))
      : await removeWhere(engine, OPERATION, where, signal);
    byRule[rule] = (byRule[rule] ?? 0) + count;
    removed += count;
  }
  return { removed, byRule };
}

/** Rules of a policy, in the order in which they are applied. */
function rulesOf({ expired, minImportance, olderThanMs, keepLast }: CheckedMemoryPolicy): MemoryPruneRule[] {
  return [
    ...(expired ? (["expired"] as const) : []),
    ...(minImportance === null ? [] : (["minImportance"] as const)),
    ...(olderThanMs === null ? [] : (["olderThanMs"] as const)),
    ...(keepLast === null ? [] : (["keepLast"] as const)),
  ];
}

/** Returns filters of what is to go. None of them selects an item that another one does. */
async function namedBy(engine: MemoryEngine, policy: CheckedMemoryPolicy): Promise<Named[]> {
  const { owner, collection, expired, keepLast, minImportance, olderThanMs, signal } = policy;
  const now = Date.now();
  if (owner === null) return [{ rule: "expired", where: { expiresAt: { to: now } } }];
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    const spaces = await spacesOf(engine, owner, collection, deadline);
    const named: Named[] = [];
    let kept: RowFilter = {};
    const name = (rule: MemoryPruneRule, where: RowFilter, others: RowFilter) => {
      for (const space of inPieces(spaces)) named.push({ rule, where: { ...kept, ...where, space } });
      kept = { ...kept, ...others };
    };
    if (expired) name("expired", { expiresAt: { to: now } }, { expiresAt: { above: now } });
    if (minImportance !== null) {
      name("minImportance", { importance: { below: minImportance } }, { importance: { from: minImportance } });
    }
    if (olderThanMs !== null) {
      const time = now - olderThanMs;
      name("olderThanMs", { createdAt: { below: time } }, { createdAt: { from: time } });
    }
    for (const { number: space, items } of spaces) {
      if (keepLast === null || items <= keepLast) continue;
      if (keepLast === 0) {
        named.push({ rule: "keepLast", where: { ...kept, space } });
        continue;
      }
      // The last one to stay: expired ones, and those that another rule names, are not counted.
      const where = { ...kept, space, expiresAt: { above: now } };
      const query = { where, columns: ["number"], order: [["number", "desc"]], limit: 1 } as const;
      const last = await engine.dialect.records.find(ITEMS, { ...query, offset: keepLast - 1 }, deadline);
      for (const { number } of last)
        named.push({ rule: "keepLast", where: { ...kept, space, number: { below: number } } });
    }
    return named;
  });
}
