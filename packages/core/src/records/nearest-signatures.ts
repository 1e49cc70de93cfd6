import { distancesTo, wordsOf } from "./bits.ts";

/**
 * Finds the signatures that are most similar to one, for databases that cannot: by their Hamming distance, and of equal ones those
 * with the highest numbers. Signatures come in any order, page by page.
 */
export class NearestSignatures {
  readonly #bytes: number;
  readonly #signature: Int32Array;
  readonly #limit: number;
  readonly #numbers: number[] = [];
  readonly #distances: number[] = [];

  constructor(signature: Uint8Array, limit: number) {
    this.#bytes = signature.byteLength;
    this.#signature = wordsOf(inWords(signature, this.#bytes));
    this.#limit = limit;
  }

  /** Adds a page: the numbers, and their signatures end to end. */
  add(numbers: readonly number[], signatures: Uint8Array): void {
    const size = this.#bytes;
    if (signatures.byteLength !== size * numbers.length) {
      throw new RangeError(
        `expected ${numbers.length} signatures of ${size} bytes, got ${signatures.byteLength} bytes`,
      );
    }
    const distances = new Uint16Array(numbers.length);
    distancesTo(wordsOf(inWords(signatures, size)), this.#signature, distances);
    for (let at = 0; at < distances.length; at++) {
      this.#numbers.push(numbers[at] as number);
      this.#distances.push(distances[at] as number);
    }
  }

  /** Returns the numbers of the most similar ones, the most similar first. */
  numbers(): number[] {
    const counts = new Uint32Array(this.#signature.length * 32 + 1);
    for (const distance of this.#distances) counts[distance] = (counts[distance] as number) + 1;
    let bound = 0;
    for (let count = 0; bound < counts.length; bound++) {
      count += counts[bound] as number;
      if (count >= this.#limit) break;
    }
    const near: { number: number; distance: number }[] = [];
    for (const [at, distance] of this.#distances.entries()) {
      if (distance <= bound) near.push({ number: this.#numbers[at] as number, distance });
    }
    near.sort((one, other) => one.distance - other.distance || other.number - one.number);
    return near.slice(0, this.#limit).map(({ number }) => number);
  }
}

/** Bytes that are compared at a time. */
const STEP = 8;

/** Fills signatures up with zeros to a multiple of the bytes that are compared at a time, which signatures of `signatureOf` have. */
function inWords(signatures: Uint8Array, size: number): Uint8Array {
  if (size % STEP === 0) return signatures;
  const width = Math.ceil(size / STEP) * STEP;
  const filled = new Uint8Array((signatures.byteLength / size) * width);
  for (let from = 0, to = 0; from < signatures.byteLength; from += size, to += width) {
    filled.set(signatures.subarray(from, from + size), to);
  }
  return filled;
}
