import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, type MemoryDialect, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { onTestFinished } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";

/** When work is done: before a change, when a unique index has refused one, before vectors are searched, after words are. */
export type Moment = "change" | "refused change" | "nearest" | "scoreTerms";

/** Opens a memory on a file until the test is over. Returns it, its dialect, and what gives it work to do at a moment. */
export function openWatchedMemory(
  databasePath: string,
  common: CommonMemoryOptions = {},
): {
  readonly memory: MemoryStorage;
  readonly dialect: MemoryDialect;
  /** Does `work` at the next of these moments, or the next `times` of them. */
  readonly meanwhile: (work: () => Promise<unknown>, moment?: Moment, times?: number) => void;
} {
  const options = resolveOptions({ databasePath });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  let due: { moment: Moment; work: () => Promise<unknown>; times: number } | null = null;
  const workAt = async (moment: Moment) => {
    if (due?.moment !== moment) return;
    const { work, times } = due;
    due = times === 1 ? null : { moment, work, times: times - 1 };
    await work();
  };
  const watched: MemoryDialect = {
    ...dialect,
    records: {
      find: (...args) => dialect.records.find(...args),
      count: (...args) => dialect.records.count(...args),
      modify: (...args) => dialect.records.modify(...args),
      nearest: (...args) => dialect.records.nearest(...args),
      async change(...args) {
        await workAt("change");
        try {
          return await dialect.records.change(...args);
        } catch (error) {
          await workAt("refused change");
          throw error;
        }
      },
    },
    async nearest(...args) {
      await workAt("nearest");
      return await dialect.nearest(...args);
    },
    async scoreTerms(...args) {
      const found = await dialect.scoreTerms(...args);
      await workAt("scoreTerms");
      return found;
    },
  };
  const memory = createMemoryStorage(watched, resolveMemoryOptions(common));
  onTestFinished(() => memory.close());
  const meanwhile = (work: () => Promise<unknown>, moment: Moment = "change", times = 1) => {
    due = { moment, work, times };
  };
  return { memory, dialect, meanwhile };
}
