import { joinLists, type Part, type Piece, utf8OfPieces } from "./chunker.ts";

/** Where two lists of pieces are the same: `count` pieces from `at` in the one, from `from` in the other. */
export interface Run {
  readonly at: number;
  readonly from: number;
  readonly count: number;
}

/** How far around a difference its end is looked for first. */
const NEARBY = 12;
const DISTINCT_FROM_BYTES = 32;

/**
 * Runs of pieces that are the same in both lists, in the order of `target`. Most often the lists are the same but for a
 * few places, and these are found by going through both at once; what has moved is found by its text.
 */
export function alignPieces(target: readonly Part[], base: readonly Piece[]): Run[] {
  const runs: Run[] = [];
  const byName = !target.some((part) => typeof part === "string");
  let places: Map<string, number> | null = null;
  let at = 0;
  let from = 0;
  while (at < target.length) {
    let count = 0;
    const most = Math.min(target.length - at, base.length - from);
    while (count < most && isSame(target[at + count] as Part, base[from + count] as Piece)) count += 1;
    if (count > 0) runs.push({ at, from, count });
    at += count;
    from += count;
    const near = nearby(target, at, base, from);
    if (near !== null) {
      [at, from] = near;
      continue;
    }
    places ??= placesOf(base, from, byName);
    while (at < target.length) {
      const place = placeOf(target[at] as Part, places, byName);
      if (place !== undefined) {
        from = place;
        break;
      }
      at += 1;
    }
  }
  return runs;
}

/** The next place where both lists are the same again, if it is near. */
function nearby(
  target: readonly Part[],
  at: number,
  base: readonly Piece[],
  from: number,
): [at: number, from: number] | null {
  for (let distance = 1; distance <= NEARBY; distance++) {
    for (let ahead = 0; ahead <= distance; ahead++) {
      const part = target[at + ahead];
      const piece = base[from + distance - ahead];
      if (part === undefined || piece === undefined || !isDistinct(piece)) continue;
      if (isSame(part, piece)) return [at + ahead, from + distance - ahead];
    }
  }
  return null;
}

/** By name, or by text where the other list may have fresh text. */
function placesOf(base: readonly Piece[], from: number, byName: boolean): Map<string, number> {
  const places = new Map<string, number>();
  for (let at = from; at < base.length; at++) {
    const piece = base[at] as Piece;
    if (!isDistinct(piece)) continue;
    const key = byName ? piece.name : piece.text;
    if (!places.has(key)) places.set(key, at);
  }
  return places;
}

function placeOf(part: Part, places: Map<string, number>, byName: boolean): number | undefined {
  if (places.size === 0) return undefined;
  return places.get(typeof part === "string" ? part : byName ? part.name : part.text);
}

/** Shorter pieces (a comma, a key) are everywhere: a run does not begin with one, except where both lists begin. */
function isDistinct({ bytes }: Piece): boolean {
  return bytes >= DISTINCT_FROM_BYTES;
}

/** Most often it is the very same object, since states that follow each other share their pieces. */
function isSame(part: Part, piece: Piece): boolean {
  return part === piece || (typeof part === "string" ? part === piece.text : part.name === piece.name);
}

/** A step from one list of pieces to another: what to copy of the first, or what to insert. */
export type Step = Copy | Insert;

export interface Copy {
  readonly from: number;
  readonly count: number;
}

export interface Insert {
  readonly pieces: readonly Piece[];
}

export function isCopy(step: Step): step is Copy {
  return "from" in step;
}

/** What turns `base` into `target`, in the order of the target. */
export function difference(target: readonly Piece[], base: readonly Piece[]): Step[] {
  const steps: Step[] = [];
  let done = 0;
  const insertUpTo = (at: number) => {
    if (at > done) steps.push({ pieces: target.slice(done, at) });
  };
  for (const { at, from, count } of alignPieces(target, base)) {
    insertUpTo(at);
    steps.push({ from, count });
    done = at + count;
  }
  insertUpTo(target.length);
  return steps;
}

/**
 * A list of pieces in runs of other lists: a chain of differences is put together without a list of all pieces for each of
 * its rows.
 */
export class PieceList {
  readonly length: number;
  readonly #runs: readonly PieceRun[];

  private constructor(runs: readonly PieceRun[]) {
    this.#runs = runs;
    this.length = runs.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  static of(pieces: readonly Piece[]): PieceList {
    return new PieceList([{ pieces, from: 0, to: pieces.length }]);
  }

  /** The result of the steps on this list. @throws RangeError if they copy what is not there */
  apply(steps: readonly Step[]): PieceList {
    const runs = steps.flatMap((step) => {
      if (!isCopy(step)) return [{ pieces: step.pieces, from: 0, to: step.pieces.length }];
      if (step.from + step.count > this.length) throw new RangeError("a copy of what is not there");
      return this.#part(step.from, step.from + step.count);
    });
    return new PieceList(runs);
  }

  slice(from: number, to: number): Piece[] {
    const runs = this.#part(from, to).map((run) => run.pieces.slice(run.from, run.to));
    return joinLists(runs);
  }

  #part(from: number, to: number): PieceRun[] {
    const part: PieceRun[] = [];
    let start = 0;
    for (const run of this.#runs) {
      const end = start + run.to - run.from;
      if (end > from && start < to) {
        const first = run.from + Math.max(0, from - start);
        part.push({ pieces: run.pieces, from: first, to: run.from + Math.min(end, to) - start });
      }
      start = end;
    }
    return part;
  }
}

interface PieceRun {
  readonly pieces: readonly Piece[];
  readonly from: number;
  readonly to: number;
}

/**
 * The end of those pieces of the base that no step copies, as UTF-8: what is inserted is often an edition of it, so it
 * makes a dictionary to compress that with.
 */
export function notCopied(steps: readonly Step[], base: PieceList, maxBytes: number): Buffer {
  const gaps: { from: number; to: number }[] = [];
  let end = 0;
  for (const { from, count } of steps.filter(isCopy).sort((one, other) => one.from - other.from)) {
    if (from > end) gaps.push({ from: end, to: from });
    end = Math.max(end, from + count);
  }
  gaps.push({ from: end, to: base.length });
  const left: Piece[] = [];
  let bytes = 0;
  for (const { from, to } of gaps.reverse()) {
    if (bytes >= maxBytes) break;
    for (const piece of base.slice(from, to).reverse()) {
      if (bytes >= maxBytes) break;
      left.push(piece);
      bytes += piece.bytes;
    }
  }
  return utf8OfPieces(left.reverse()).subarray(-maxBytes);
}
