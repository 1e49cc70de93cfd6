import { endianness } from "node:os";

/** Vectors as bytes: float32, little-endian, one after the other. */

const IS_LITTLE_ENDIAN = endianness() === "LE";

export function littleEndian(floats: Float32Array): Uint8Array {
  const bytes = Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength);
  return IS_LITTLE_ENDIAN ? bytes : Buffer.from(bytes).swap32();
}

/** Returns the vector of these bytes. It is a copy: a driver's buffer need not begin where a float may. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const copy = new Uint8Array(bytes.byteLength - (bytes.byteLength % 4));
  copy.set(bytes.subarray(0, copy.byteLength));
  if (!IS_LITTLE_ENDIAN) Buffer.from(copy.buffer).swap32();
  return new Float32Array(copy.buffer);
}
