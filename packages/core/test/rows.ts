import { createHash } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import { type ChainState, type PackedNext, packNext } from "../src/checkpoints/chain.ts";
import type { Row } from "../src/checkpoints/dialect.ts";
import { takeSnapshot } from "../src/codec/snapshot.ts";

/** Rows as a storage makes them, without a storage. */

/** Returns the id of a turn: a later turn has a higher one. */
export const idOf = (turn: number) => `00000000-0000-7000-8000-${turn.toString(16).padStart(12, "0")}`;

const HEAD = { agentId: "agent", namespace: "", name: "turn", parentId: null, createdAt: 0, metadata: null };
const FLAGS = { afterId: null, pending: null };

export function rowOf(id: string, { base, packed, next }: PackedNext): Row {
  const { stateBytes, digest } = next.snapshot;
  return { ...HEAD, id, baseId: base?.id ?? null, ...packed, stateBytes, digest, ...FLAGS };
}

/** Makes a row as version 0.1 wrote it. */
export function oldRow(id: string, state: unknown, isCompressed = true): Row {
  const text = Buffer.from(JSON.stringify(state));
  const packed = isCompressed
    ? { encoding: "json+deflate", state: deflateRawSync(text) }
    : { encoding: "json", state: text };
  const digest = createHash("sha256").update(text).digest();
  return { ...HEAD, id, baseId: null, ...packed, stateBytes: text.byteLength, digest, ...FLAGS };
}

/** Returns the row, its base, and so on down to a full one. */
export function chainOf(rows: ReadonlyMap<string, Row>, id: string): Row[] {
  const chain: Row[] = [];
  for (let next: string | null = id; next !== null; next = chain.at(-1)?.baseId ?? null) {
    const row: Row | undefined = rows.get(next);
    if (row === undefined) break;
    chain.push(row);
  }
  return chain;
}

/** The history of an agent in one namespace: each state is stored after the one before. */
export class Timeline {
  readonly rows = new Map<string, Row>();
  last: ChainState | null = null;

  async store(state: unknown): Promise<ChainState> {
    const id = idOf(this.rows.size);
    const packed = await packNext(id, takeSnapshot(state, { base: this.last?.snapshot }), this.last);
    this.rows.set(id, rowOf(id, packed));
    this.last = packed.next;
    return packed.next;
  }
}

/** Makes text that compresses little, the same for the same seed. */
export function noise(seed: string | number, characters: number): string {
  let text = "";
  for (let part = 0; text.length < characters; part++) {
    text += createHash("sha256").update(`${seed} ${part}`).digest("base64");
  }
  return text.slice(0, characters);
}
