import { integer, invalidArgument, MAX_DIMENSIONS, signatureOf } from "@waymark/core/records";

/** Vectors as a memory's row has them. */
export interface StoredVector {
  readonly vector: Float32Array;
  /** `null`: it is stored, and no search finds it. */
  readonly dimensions: number | null;
  readonly signature: Uint8Array | null;
}

/** The largest coordinate of a vector that is searched is at most this, and at least its inverse: float32 holds the sums of squares. */
const LARGEST = 2 ** 40;

/**
 * Converts an embedding to single precision. One without a direction is no answer to any question: all zeros, as providers return for an
 * empty text or when they fail, or with a coordinate that is not a finite number, which becomes 0. It is stored, but not searched.
 * @throws CheckpointError `INVALID_ARGUMENT` if it is no list of 1 to 4,096
 */
export function storedVector(field: string, value: unknown): StoredVector {
  if (!Array.isArray(value) && !(value instanceof Float32Array) && !(value instanceof Float64Array)) {
    throw invalidArgument(field, "an array of numbers", value);
  }
  checkDimensions(`${field}.length`, value.length);
  const vector = new Float32Array(value.length);
  let areFinite = true;
  let largest = 0;
  for (let at = 0; at < vector.length; at++) {
    const coordinate: unknown = value[at];
    const rounded = typeof coordinate === "number" ? Math.fround(coordinate) : Number.NaN;
    if (!Number.isFinite(rounded)) {
      areFinite = false;
      continue;
    }
    vector[at] = rounded;
    largest = Math.max(largest, Math.abs(rounded));
  }
  const isSearched = areFinite && largest <= LARGEST && largest >= 1 / LARGEST;
  return isSearched
    ? { vector, dimensions: vector.length, signature: signatureOf(vector) }
    : { vector, dimensions: null, signature: null };
}

/** Checks the length of a vector. */
export function checkDimensions(field: string, value: unknown): number {
  return integer(field, value, 1, MAX_DIMENSIONS, "dimensions");
}

/** Returns a vector as numbers of 7 digits, all that single precision has: 0.1, not 0.10000000149011612. */
export function numbersOf(vector: Float32Array): number[] {
  const numbers: number[] = [];
  for (const value of vector) numbers.push(inSevenDigits(value));
  return numbers;
}

/** Powers of ten that turn the 7 digits of a number below 1, 0.1, … 10^-5 into a whole one. Products with a float32 are exact. */
const SCALES = [1e7, 1e8, 1e9, 1e10, 1e11, 1e12] as const;

/** Returns `Number(value.toPrecision(7))`, for most numbers without a text: a list of memories has tens of thousands. */
function inSevenDigits(value: number): number {
  const size = Math.abs(value);
  if (size < 1) {
    for (const scale of SCALES) {
      const digits = size * scale;
      if (digits >= 1e6) return (Math.sign(value) * Math.round(digits)) / scale;
    }
  }
  return value === 0 ? 0 : Number(value.toPrecision(7));
}
