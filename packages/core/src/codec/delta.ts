import { type Chunk, joinLists, type TextOrChunk, utf8OfChunks } from "./chunk.ts";

/** A run of chunks that two lists have in common: `count` chunks from `at` in the one, from `from` in the other. */
export interface Run {
  readonly at: number;
  readonly from: number;
  readonly count: number;
}

/** Number of chunks around a difference in which its end is looked for first. */
const NEARBY = 12;
/** Shorter chunks (a comma, a key) are everywhere. */
const DISTINCT_FROM_BYTES = 32;

/**
 * Finds the runs of chunks that both lists have, in the order of `target`. Most often the lists differ in a few positions
 * only, which are found by walking both at once; chunks that have moved are found by their text.
 */
export function alignChunks(target: readonly TextOrChunk[], base: readonly Chunk[]): Run[] {
  const runs: Run[] = [];
  const byName = !target.some((part) => typeof part === "string");
  let positions: Map<string, number> | null = null;
  let at = 0;
  let from = 0;
  while (at < target.length) {
    let count = 0;
    const most = Math.min(target.length - at, base.length - from);
    while (count < most && isSameChunk(target[at + count] as TextOrChunk, base[from + count] as Chunk)) count += 1;
    if (count > 0) runs.push({ at, from, count });
    at += count;
    from += count;
    const near = nearby(target, at, base, from);
    if (near !== null) {
      [at, from] = near;
      continue;
    }
    positions ??= positionsOf(base, from, byName);
    while (at < target.length) {
      const position = positionOf(target[at] as TextOrChunk, positions, byName);
      if (position !== undefined) {
        from = position;
        break;
      }
      at += 1;
    }
  }
  return runs;
}

/** Finds the next position where both lists are the same again, if it is near. */
function nearby(
  target: readonly TextOrChunk[],
  at: number,
  base: readonly Chunk[],
  from: number,
): [at: number, from: number] | null {
  for (let distance = 1; distance <= NEARBY; distance++) {
    for (let ahead = 0; ahead <= distance; ahead++) {
      const part = target[at + ahead];
      const chunk = base[from + distance - ahead];
      if (part === undefined || chunk === undefined || !isDistinct(chunk)) continue;
      if (isSameChunk(part, chunk)) return [at + ahead, from + distance - ahead];
    }
  }
  return null;
}

/** Indexes the chunks by name, or by text where the other list may have fresh text. */
function positionsOf(base: readonly Chunk[], from: number, byName: boolean): Map<string, number> {
  const positions = new Map<string, number>();
  for (let at = from; at < base.length; at++) {
    const chunk = base[at] as Chunk;
    if (!isDistinct(chunk)) continue;
    const key = byName ? chunk.name : chunk.text;
    if (!positions.has(key)) positions.set(key, at);
  }
  return positions;
}

function positionOf(part: TextOrChunk, positions: Map<string, number>, byName: boolean): number | undefined {
  if (positions.size === 0) return undefined;
  return positions.get(typeof part === "string" ? part : byName ? part.name : part.text);
}

/** Returns whether a run may begin with this chunk. Where both lists begin, it may begin with any. */
function isDistinct({ bytes }: Chunk): boolean {
  return bytes >= DISTINCT_FROM_BYTES;
}

/** Compares by identity first: states that follow each other share most of their chunks. */
function isSameChunk(part: TextOrChunk, chunk: Chunk): boolean {
  return part === chunk || (typeof part === "string" ? part === chunk.text : part.name === chunk.name);
}

/** A step of a delta: copy chunks of the base, or insert others. */
export type Step = CopyStep | InsertStep;

export interface CopyStep {
  readonly from: number;
  readonly count: number;
}

export interface InsertStep {
  readonly chunks: readonly Chunk[];
}

export function isCopy(step: Step): step is CopyStep {
  return "from" in step;
}

/** Computes the delta that turns `base` into `target`. */
export function deltaSteps(target: readonly Chunk[], base: readonly Chunk[]): Step[] {
  const steps: Step[] = [];
  let done = 0;
  const insertUpTo = (at: number) => {
    if (at > done) steps.push({ chunks: target.slice(done, at) });
  };
  for (const { at, from, count } of alignChunks(target, base)) {
    insertUpTo(at);
    steps.push({ from, count });
    done = at + count;
  }
  insertUpTo(target.length);
  return steps;
}

/** A list of chunks as runs of other lists: so a chain of deltas is applied without copying all chunks for each row. */
export class ChunkList {
  readonly length: number;
  readonly #runs: readonly ChunkRun[];

  private constructor(runs: readonly ChunkRun[]) {
    this.#runs = runs;
    this.length = runs.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  static of(chunks: readonly Chunk[]): ChunkList {
    return new ChunkList([{ chunks, from: 0, to: chunks.length }]);
  }

  /** Applies a delta. @throws RangeError if it copies chunks that are not there */
  apply(steps: readonly Step[]): ChunkList {
    const runs = steps.flatMap((step) => {
      if (!isCopy(step)) return [{ chunks: step.chunks, from: 0, to: step.chunks.length }];
      if (step.from + step.count > this.length) throw new RangeError("a copy of what is not there");
      return this.#runsBetween(step.from, step.from + step.count);
    });
    return new ChunkList(runs);
  }

  slice(from: number, to: number): Chunk[] {
    const runs = this.#runsBetween(from, to).map((run) => run.chunks.slice(run.from, run.to));
    return joinLists(runs);
  }

  #runsBetween(from: number, to: number): ChunkRun[] {
    const runs: ChunkRun[] = [];
    let start = 0;
    for (const run of this.#runs) {
      const end = start + run.to - run.from;
      if (end > from && start < to) {
        const first = run.from + Math.max(0, from - start);
        runs.push({ chunks: run.chunks, from: first, to: run.from + Math.min(end, to) - start });
      }
      start = end;
    }
    return runs;
  }
}

interface ChunkRun {
  readonly chunks: readonly Chunk[];
  readonly from: number;
  readonly to: number;
}

/**
 * Returns the last bytes of those chunks of the base that no step copies. Inserted chunks are often edited versions of
 * them, so they make a good dictionary for the compression.
 */
export function dictionarySource(steps: readonly Step[], base: ChunkList, maxBytes: number): Buffer {
  const gaps: { from: number; to: number }[] = [];
  let end = 0;
  for (const { from, count } of steps.filter(isCopy).sort((one, other) => one.from - other.from)) {
    if (from > end) gaps.push({ from: end, to: from });
    end = Math.max(end, from + count);
  }
  gaps.push({ from: end, to: base.length });
  const left: Chunk[] = [];
  let bytes = 0;
  for (const { from, to } of gaps.reverse()) {
    if (bytes >= maxBytes) break;
    for (const chunk of base.slice(from, to).reverse()) {
      if (bytes >= maxBytes) break;
      left.push(chunk);
      bytes += chunk.bytes;
    }
  }
  return utf8OfChunks(left.reverse()).subarray(-maxBytes);
}
