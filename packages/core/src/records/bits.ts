/** Signatures as words of 32 bits, and how many of their bits differ. */

/**
 * Words of 32 bits. The order of bytes in them does not matter here. Copies what does not begin at a word's address: drivers' buffers are
 * parts of larger ones, and the `slice` of a buffer is no copy.
 */
export function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
}

/**
 * Counts the bits in which signatures, laid end to end, differ from another one: in parallel within a word (Warren, Hacker's Delight, 5-1),
 * two words at a time.
 */
export function distancesTo(words: Int32Array, other: Int32Array, distances: Uint16Array): void {
  const length = other.length;
  for (let index = 0, start = 0; index < distances.length; index++, start += length) {
    let distance = 0;
    for (let at = 0; at < length; at += 2) {
      let a = (words[start + at] as number) ^ (other[at] as number);
      let b = (words[start + at + 1] as number) ^ (other[at + 1] as number);
      a -= (a >>> 1) & 0x55555555;
      b -= (b >>> 1) & 0x55555555;
      a = (a & 0x33333333) + ((a >>> 2) & 0x33333333) + (b & 0x33333333) + ((b >>> 2) & 0x33333333);
      a = (a & 0x0f0f0f0f) + ((a >>> 4) & 0x0f0f0f0f);
      distance += Math.imul(a, 0x01010101) >>> 24;
    }
    distances[index] = distance;
  }
}
