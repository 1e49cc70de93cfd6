import { createHash } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import { type PackedChain, packNext, type StoredChain } from "../src/checkpoints/chain.ts";
import type { Row } from "../src/checkpoints/dialect.ts";
import { type Snapshot, takeSnapshot } from "../src/codec/snapshot.ts";

/** Rows as a storage makes them, without one: for what stands beside it. */

/** The ids of a line, in their order. */
export const idOf = (turn: number) => `00000000-0000-7000-8000-${turn.toString(16).padStart(12, "0")}`;

export function rowOf(id: string, { base, packed, chain }: PackedChain): Row {
  const { stateBytes, digest } = chain.snapshot;
  const head = { agentId: "agent", namespace: "", name: "turn", parentId: null, createdAt: 0, metadata: null };
  return { ...head, id, baseId: base?.id ?? null, ...packed, stateBytes, digest, afterId: null, pending: null };
}

/** A row as version 0.1 wrote it. */
export function oldRow(id: string, state: unknown, compressed = true): Row {
  const text = Buffer.from(JSON.stringify(state));
  const packed = compressed
    ? { encoding: "json+deflate", state: deflateRawSync(text) }
    : { encoding: "json", state: text };
  const snapshot = { stateBytes: text.byteLength, digest: createHash("sha256").update(text).digest() };
  const head = { agentId: "agent", namespace: "", name: "turn", parentId: null, createdAt: 0, metadata: null };
  return { ...head, id, baseId: null, ...packed, ...snapshot, afterId: null, pending: null };
}

/** The row, its base, and so on. */
export function chainOf(rows: ReadonlyMap<string, Row>, id: string): Row[] {
  const chain: Row[] = [];
  for (let next: string | null = id; next !== null; next = chain.at(-1)?.baseId ?? null) {
    const row: Row | undefined = rows.get(next);
    if (row === undefined) break;
    chain.push(row);
  }
  return chain;
}

/** A line of states, each stored after the one before. */
export class Line {
  readonly rows = new Map<string, Row>();
  last: StoredChain | null = null;

  async store(state: unknown): Promise<StoredChain> {
    const like: Snapshot | undefined = this.last?.snapshot;
    const id = idOf(this.rows.size);
    const next = await packNext(id, takeSnapshot(state, { base: like }), this.last);
    this.rows.set(id, rowOf(id, next));
    this.last = next.chain;
    return next.chain;
  }
}

/** Text that compresses little, the same for the same seed. */
export function noise(seed: string | number, characters: number): string {
  let text = "";
  for (let part = 0; text.length < characters; part++) {
    text += createHash("sha256").update(`${seed} ${part}`).digest("base64");
  }
  return text.slice(0, characters);
}
