import { newRevision } from "../database/ids.ts";
import { insertRecords } from "../records/records.ts";
import type { MemoryEngine } from "./engine.ts";
import { newSpaceNumber } from "./numbers.ts";
import { SPACES, type SpaceRow } from "./tables.ts";
import { ANALYZER_VERSION } from "./words.ts";

/** Spaces: an owner's collections. They are read anew by every call, so that all processes agree on dimensions and statistics. */

/** Spaces that one statement, or one commit, concerns. */
export const SPACES_AT_ONCE = 500;

/** Spaces of one owner that are read at once. */
const PAGE = 1_000;

/** Finds the spaces of collections. Those that are not there are left out. */
export async function findSpaces(
  { dialect }: MemoryEngine,
  owner: string,
  collections: readonly string[],
  signal: AbortSignal,
): Promise<SpaceRow[]> {
  const where = { owner, collection: { in: collections }, removal: 0 };
  return await dialect.records.find(SPACES, { where, limit: collections.length }, signal);
}

export async function findSpace(
  engine: MemoryEngine,
  owner: string,
  collection: string,
  signal: AbortSignal,
): Promise<SpaceRow | null> {
  const [space] = await findSpaces(engine, owner, [collection], signal);
  return space ?? null;
}

/** Finds the spaces of an owner, in the order of their names' bytes, or the one of a collection. */
export async function spacesOf(
  engine: MemoryEngine,
  owner: string,
  collection: string | null,
  signal: AbortSignal,
): Promise<SpaceRow[]> {
  if (collection !== null) return await findSpaces(engine, owner, [collection], signal);
  const all: SpaceRow[] = [];
  for (let after: string | null = null; ; ) {
    const page: SpaceRow[] = await listSpaces(engine, owner, after, PAGE, signal);
    all.push(...page);
    if (page.length < PAGE) return all;
    after = (page.at(-1) as SpaceRow).collection;
  }
}

export async function listSpaces(
  { dialect }: MemoryEngine,
  owner: string,
  after: string | null,
  limit: number,
  signal: AbortSignal,
): Promise<SpaceRow[]> {
  const where = { owner, removal: 0, ...(after !== null && { collection: { above: after } }) };
  return await dialect.records.find(SPACES, { where, order: [["collection", "asc"]], limit }, signal);
}

/** Returns conditions on the space of items, one for each statement: of spaces that have items, as many as one statement may concern. */
export function inPieces(spaces: readonly SpaceRow[]): { readonly in: readonly number[] }[] {
  const numbers = spaces.filter(({ items }) => items > 0).map(({ number }) => number);
  const pieces = [];
  for (let at = 0; at < numbers.length; at += SPACES_AT_ONCE) {
    pieces.push({ in: numbers.slice(at, at + SPACES_AT_ONCE) });
  }
  return pieces;
}

/** Lists owners that have spaces, in the order of their names' bytes. */
export async function listOwners(
  { dialect }: MemoryEngine,
  after: string | null,
  limit: number,
  signal: AbortSignal,
): Promise<string[]> {
  const owners: string[] = [];
  for (let last = after; ; ) {
    const where = { removal: 0, ...(last !== null && { owner: { above: last } }) };
    const query = { where, columns: ["owner"], order: [["owner", "asc"]], limit } as const;
    const page: Pick<SpaceRow, "owner">[] = await dialect.records.find(SPACES, query, signal);
    owners.push(...new Set(page.map(({ owner }) => owner)));
    // The rest of the last one's spaces is skipped: some owners have very many.
    if (page.length < limit || owners.length >= limit) return owners.slice(0, limit);
    last = page.at(-1)?.owner ?? null;
  }
}

/** Finds spaces by their numbers. */
export async function spacesByNumber(
  { dialect }: MemoryEngine,
  numbers: readonly number[],
  signal: AbortSignal,
): Promise<Map<number, SpaceRow>> {
  const distinct = [...new Set(numbers)];
  if (distinct.length === 0) return new Map();
  const where = { number: { in: distinct } };
  const found = await dialect.records.find(SPACES, { where, limit: distinct.length }, signal);
  return new Map(found.map((space) => [space.number, space]));
}

/** Makes spaces for collections that have none. Another process may be faster. */
export async function createSpaces(
  { dialect, options }: MemoryEngine,
  names: readonly Pick<SpaceRow, "owner" | "collection">[],
  signal: AbortSignal,
): Promise<void> {
  const rows = names.map(({ owner, collection }) => ({
    number: newSpaceNumber(),
    owner,
    collection,
    removal: 0,
    language: options.languageOf(collection),
    analyzer: ANALYZER_VERSION,
    items: 0,
    tokens: 0,
    generation: 1,
    dimensions: null,
    model: null,
    nextGeneration: null,
    nextDimensions: null,
    nextModel: null,
    nextMissed: 0,
    lastGeneration: 1,
    lastNumber: 0,
    createdAt: Date.now(),
    revision: newRevision(),
    pending: null,
  }));
  await dialect.records.change([insertRecords(SPACES, rows, "ignore")], signal);
}
