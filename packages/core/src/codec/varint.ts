/** Whole numbers from 0 to 2^53 - 1 in as few bytes as they need: seven bits each, the lowest first (LEB128). */

/** Bytes that are not as they were written. */
export class DamagedBytes extends Error {}

export function writeVarint(into: number[], value: number): void {
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into.push((rest % 0x80) + 0x80);
  into.push(rest);
}

/** @throws DamagedBytes */
export function readVarint(bytes: Uint8Array, at: { position: number }): number {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
    const byte = bytes[at.position++];
    if (byte === undefined) break;
    value += (byte % 0x80) * scale;
    if (byte < 0x80) return value;
  }
  throw new DamagedBytes("a number without an end");
}
