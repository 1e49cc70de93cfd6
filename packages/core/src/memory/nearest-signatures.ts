/** Bits of each number below 2^16. */
const BITS = Uint8Array.from({ length: 65_536 }, (_, number) => {
  let bits = 0;
  for (let left = number; left > 0; left >>= 1) bits += left & 1;
  return bits;
});

/**
 * Finds the signatures that are most similar to one, for databases that cannot: by their Hamming distance, and of equal ones those
 * with the highest numbers. Signatures come in any order, page by page.
 */
export class NearestSignatures {
  readonly #signature: Uint16Array;
  readonly #limit: number;
  readonly #numbers: number[] = [];
  readonly #distances: number[] = [];

  constructor(signature: Uint8Array, limit: number) {
    this.#signature = words(signature);
    this.#limit = limit;
  }

  /** Adds a page: the numbers, and their signatures end to end. */
  add(numbers: readonly number[], signatures: Uint8Array): void {
    const wanted = this.#signature;
    const size = wanted.length;
    const all = words(signatures);
    if (all.length !== size * numbers.length) {
      throw new RangeError(
        `expected ${numbers.length} signatures of ${size * 2} bytes, got ${signatures.byteLength} bytes`,
      );
    }
    for (const [at, number] of numbers.entries()) {
      let distance = 0;
      const from = at * size;
      for (let word = 0; word < size; word++)
        distance += BITS[(wanted[word] as number) ^ (all[from + word] as number)] as number;
      this.#numbers.push(number);
      this.#distances.push(distance);
    }
  }

  /** Returns the numbers of the most similar ones, the most similar first. */
  numbers(): number[] {
    const counts = new Uint32Array(this.#signature.length * 16 + 1);
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

/** The bytes as 16-bit words, in whatever order: bits are only counted. Lengths are even. */
function words(bytes: Uint8Array): Uint16Array {
  if (bytes.byteOffset % 2 === 0) return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
  const copy = Uint8Array.from(bytes);
  return new Uint16Array(copy.buffer, 0, copy.byteLength >> 1);
}
