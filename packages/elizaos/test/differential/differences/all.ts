import { OF_ARGUMENTS } from "./arguments.ts";
import type { Difference } from "./difference.ts";
import { OF_LOGS } from "./logs.ts";
import { OF_MEMORIES } from "./memories.ts";
import { OF_ROWS } from "./rows.ts";

/** All differences that are meant. The first that applies to an answer explains it. */
export const DIFFERENCES: readonly Difference[] = [...OF_ROWS, ...OF_MEMORIES, ...OF_LOGS, ...OF_ARGUMENTS];

/** The one about arguments after the call; it has no answer. */
export const CHANGED_ARGUMENTS = {
  what: "Arguments after the call",
  theirs: "are changed: `createMemory` sets `unique`, `updateAgent` sets `settings`",
  ours: "are as they were",
} as const;
