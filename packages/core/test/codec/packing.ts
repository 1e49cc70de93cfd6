import { ChunkList } from "../../src/codec/delta.ts";
import { packSnapshot, type StoredState, unpackState, verifySnapshot } from "../../src/codec/format.ts";
import { decodeSnapshot, type Snapshot, takeSnapshot } from "../../src/codec/snapshot.ts";

/** Packing and unpacking of states as rows hold them, and states to pack. */

/** Packs a snapshot: full, or as a delta to a base. */
export async function pack(snapshot: Snapshot, base: Snapshot | null = null, isSkip = false): Promise<StoredState> {
  const { stateBytes, digest } = snapshot;
  return { ...(await packSnapshot(snapshot, base, isSkip)), stateBytes, digest };
}

export const packFull = (state: unknown) => pack(takeSnapshot(state));

export async function unpack(stored: StoredState, base: Snapshot | null = null): Promise<Snapshot> {
  const unpacked = await unpackState(stored, base === null);
  return verifySnapshot(await unpacked.applyTo(base && ChunkList.of(base.chunks)), stored);
}

export const read = async (stored: StoredState, base: Snapshot | null = null) =>
  decodeSnapshot(await unpack(stored, base));

/** Turns of a history, long enough together to be compressed, by this thread or by another. */
export const turns = (count: number) =>
  Array.from({ length: count }, (_, turn) => ({ role: "user", content: `turn ${turn}: à 🚀` }));

/** Turns each of which is a chunk of its own. */
export const longTurns = (count: number) => turns(count).map((turn) => ({ ...turn, thought: "à 🚀".repeat(40) }));
