import { invalidArgument } from "../contract/errors.ts";

/**
 * Signatures: a bit for each dimension of a vector, so that nearest neighbours can be looked for in few bytes, on any database. The
 * vector is rotated at random first (as in RaBitQ, https://arxiv.org/abs/2405.12497), which spreads what it says over all bits alike; then each bit is the sign of one coordinate. The share of bits in which two signatures differ is about the
 * angle of their vectors over 180 degrees. Near ones by signature are candidates, which are then compared by {@link cosine}.
 *
 * The rotation is two rounds of fixed random signs and a Walsh-Hadamard transform. It is the same for ever and everywhere: signatures in
 * databases depend on it. Only additions of doubles in a fixed order take part, so engines and machines cannot differ.
 */

/** Most dimensions of a vector. */
export const MAX_DIMENSIONS = 4_096;

/** Fewest bits of a signature. Few dimensions get more bits than they are: 16 signs would tell few of thousands of vectors apart. */
const MIN_BITS = 256;

const SEED = 0x57_41_59_4d; // "WAYM"

/** Signs of both rounds. Xorshift32 (Marsaglia 2003) needs shifts alone, which all engines do alike. */
const SIGNS: readonly [Float64Array, Float64Array] = (() => {
  let state = SEED;
  const round = () =>
    Float64Array.from({ length: MAX_DIMENSIONS }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state < 0 ? -1 : 1;
    });
  return [round(), round()];
})();

/** Bytes of the signature of a vector with so many dimensions: 64 for 384, 128 for 768, 512 for 4,096; 32 at least. */
export function signatureBytes(dimensions: number): number {
  let bits = MIN_BITS;
  while (bits < dimensions) bits *= 2;
  return bits / 8;
}

/** Returns a vector's signature, of {@link signatureBytes} bytes. The first coordinate is the highest bit of the first byte. */
export function signatureOf(vector: Float32Array): Uint8Array {
  const bytes = signatureBytes(vector.length);
  const rotated = new Float64Array(bytes * 8);
  rotated.set(vector);
  for (const signs of SIGNS) {
    for (let at = 0; at < rotated.length; at++) rotated[at] = (rotated[at] as number) * (signs[at] as number);
    transform(rotated);
  }
  const signature = new Uint8Array(bytes);
  for (let byte = 0, at = 0; byte < bytes; byte++) {
    let bits = 0;
    for (const end = at + 8; at < end; at++) bits = (bits << 1) | ((rotated[at] as number) >= 0 ? 1 : 0);
    signature[byte] = bits;
  }
  return signature;
}

/**
 * Walsh-Hadamard transform in place, not scaled: only signs are asked for, and sums of 2^24 floats fit a double. Two steps at a time, which
 * read and write each value once instead of twice; the additions are those of single steps, in their order.
 */
function transform(values: Float64Array): void {
  let size = 1;
  for (; size * 4 <= values.length; size *= 4) {
    for (let start = 0; start < values.length; start += 4 * size) {
      for (let at = start; at < start + size; at++) {
        const a = values[at] as number;
        const b = values[at + size] as number;
        const c = values[at + 2 * size] as number;
        const d = values[at + 3 * size] as number;
        // No array of the four: taking it apart costs as much as all additions.
        const sumAB = a + b;
        const differenceAB = a - b;
        const sumCD = c + d;
        const differenceCD = c - d;
        values[at] = sumAB + sumCD;
        values[at + size] = differenceAB + differenceCD;
        values[at + 2 * size] = sumAB - sumCD;
        values[at + 3 * size] = differenceAB - differenceCD;
      }
    }
  }
  if (size === values.length) return;
  for (let at = 0; at < size; at++) {
    const a = values[at] as number;
    const b = values[at + size] as number;
    values[at] = a + b;
    values[at + size] = a - b;
  }
}

/**
 * Cosine of the angle between two vectors of the same length, from -1 to 1; 0 if one of them is all zero. Computed in doubles, in which
 * no square of a float, and no sum of 4,096 of them, is too large or too small.
 */
export function cosine(a: Float32Array, b: Float32Array): number {
  let product = 0;
  let squaresOfA = 0;
  let squaresOfB = 0;
  for (let at = 0; at < a.length; at++) {
    const x = a[at] as number;
    const y = b[at] as number;
    product += x * y;
    squaresOfA += x * x;
    squaresOfB += y * y;
  }
  const lengths = Math.sqrt(squaresOfA) * Math.sqrt(squaresOfB);
  return lengths === 0 ? 0 : Math.max(-1, Math.min(1, product / lengths));
}

/**
 * Checks a vector, and returns a copy in single precision, as it is stored: of a length that float32 holds.
 *
 * @param dimensions the dimensions that it must have; `null`: any number from 1 to {@link MAX_DIMENSIONS}
 * @throws CheckpointError INVALID_ARGUMENT. A vector must have a direction after rounding to single precision: not all zero, all finite
 */
export function checkVector(field: string, value: unknown, dimensions: number | null): Float32Array {
  const isFloats = Object.prototype.toString.call(value) === "[object Float32Array]"; // of any realm
  if (!isFloats && !Array.isArray(value)) throw invalidArgument(field, "a Float32Array or an array of numbers", value);
  const { length } = value as ArrayLike<unknown>;
  if (dimensions === null ? length < 1 || length > MAX_DIMENSIONS : length !== dimensions) {
    throw invalidArgument(
      `${field}.length`,
      dimensions === null ? `from 1 to ${MAX_DIMENSIONS}` : String(dimensions),
      length,
    );
  }
  const vector = new Float32Array(length);
  let isZero = true;
  for (let at = 0; at < length; at++) {
    const coordinate = (value as ArrayLike<unknown>)[at];
    if (typeof coordinate !== "number" || !Number.isFinite(Math.fround(coordinate))) {
      throw invalidArgument(`${field}[${at}]`, "a finite number in single precision", coordinate);
    }
    vector[at] = coordinate;
    if (vector[at] !== 0) isZero = false;
  }
  if (isZero) throw invalidArgument(field, "not all zero in single precision", value);
  return withinRange(vector);
}

/** Coordinates up to this have squares whose sums float32 holds, as have those down to its inverse: 2^80 * 4,096, and 2^-80. */
const LARGEST = 2 ** 40;

/**
 * Scales a vector whose length float32 cannot hold by a power of two, which changes no digit of its coordinates and no cosine. Databases
 * that compute in float32 have no distance for it, or a wrong one.
 */
function withinRange(vector: Float32Array): Float32Array {
  const largest = vector.reduce((most, coordinate) => Math.max(most, Math.abs(coordinate)), 0);
  if (largest <= LARGEST && largest >= 1 / LARGEST) return vector;
  const scale = 2 ** -Math.floor(Math.log2(largest));
  return vector.map((coordinate) => coordinate * scale);
}
