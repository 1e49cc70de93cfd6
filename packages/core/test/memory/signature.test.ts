import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkVector, cosine, MAX_DIMENSIONS, signatureBytes, signatureOf } from "../../src/memory/signature.ts";
import { distancesTo, wordsOf } from "../../src/records/bits.ts";
import { NearestSignatures } from "../../src/records/nearest-signatures.ts";

/** Numbers between -1 and 1, the same on every machine. */
function numbers(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  });
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const anyFloat = fc.float({ noNaN: true, noDefaultInfinity: true });
const anyVector = fc.array(anyFloat, { minLength: 1, maxLength: 40 }).map((values) => Float32Array.from(values));

/** Counts the bits in which two signatures differ. */
function hamming(one: Uint8Array, other: Uint8Array): number {
  const distances = new Uint16Array(1);
  distancesTo(wordsOf(one), wordsOf(other), distances);
  return distances[0] as number;
}

/** Returns which `m` of the signatures, laid end to end, are most similar to one: their indices, the most similar first. */
function nearest(signatures: Uint8Array, signature: Uint8Array, m: number): number[] {
  const near = new NearestSignatures(signature, m);
  near.add([...new Array(signatures.length / signature.length).keys()], signatures);
  return near.numbers();
}

describe("a signature", () => {
  test.each([
    [1, 32],
    [256, 32],
    [257, 64],
    [384, 64],
    [768, 128],
    [1_024, 128],
    [1_536, 256],
    [3_072, 512],
    [MAX_DIMENSIONS, 512],
  ])("of %d dimensions has %d bytes", (dimensions, bytes) => {
    expect(signatureBytes(dimensions)).toBe(bytes);
    expect(signatureOf(numbers(dimensions, 1))).toHaveLength(bytes);
  });

  // Signatures in databases depend on every bit: these must never change. Computed by hand-written matrices in exact fractions.
  test.each([
    [1, 1, "776e6f60cbc79d20ca45fd4707cd70b7fbb7dbe323b349c0ed568b38a52954b5"],
    [3, 2, "656660675905996f6a518164f4a14f9409965a65769a796f6156f989a7699685"],
    [256, 3, "d554b5e78a6ff4923b024fc6339b51d89a64216bc9e95207313b95171b0a8929"],
    [
      384,
      4,
      "19bcfb39cddccc81a47ecc06e44e6264b25c73511de38e9035901db041eb4fe0f8db7381d7d36e005241f85b301e119b76f45b9e6df8568c4bcc3d97f4c316ad",
    ],
  ])("of %d dimensions, seed %d, stays the same for ever", (dimensions, seed, expected) => {
    expect(hex(signatureOf(numbers(dimensions, seed)))).toBe(expected);
  });

  test("of more dimensions stays the same for ever", () => {
    const digest = createHash("sha256");
    for (const dimensions of [768, 1_536, 3_072, 4_096]) digest.update(signatureOf(numbers(dimensions, dimensions)));
    expect(digest.digest("hex")).toBe("a5a3b13ded7f30570b50d3f6a6db3ff9c859aba2320e2ae821f0f42613b3d599");
  });

  test("of another length of the vector is the same, of the opposite vector the opposite", () => {
    fc.assert(
      fc.property(anyVector, fc.constantFrom(2, 0.5, 1_024), (vector, factor) => {
        const double = vector.map((value) => value * factor);
        fc.pre(double.every((value, at) => value / factor === vector[at])); // no underflow, no overflow
        expect(signatureOf(double)).toEqual(signatureOf(vector));
      }),
    );
    const vector = numbers(768, 9);
    expect(hamming(signatureOf(vector), signatureOf(vector.map((value) => -value)))).toBe(1_024);
  });

  test("differs by about the share of the angle over 180 degrees", () => {
    for (const dimensions of [384, 768, 1_536]) {
      const a = numbers(dimensions, 5);
      const noise = numbers(dimensions, 6);
      for (const amount of [0.2, 0.5, 1, 3]) {
        const b = a.map((value, at) => value + amount * (noise[at] as number));
        const share = hamming(signatureOf(a), signatureOf(b)) / (signatureBytes(dimensions) * 8);
        expect(Math.abs(share - Math.acos(cosine(a, b)) / Math.PI)).toBeLessThan(0.06);
      }
    }
  });

  test("of a vector of few dimensions, or of one direction, has bits of both kinds", () => {
    for (const vector of [[1], [0, 0, 1], [1, 1], new Array(768).fill(1)]) {
      const bytes = signatureOf(Float32Array.from(vector));
      const ones = hamming(bytes, new Uint8Array(bytes.length)) / (bytes.length * 8);
      expect(ones).toBeGreaterThan(0.3);
      expect(ones).toBeLessThan(0.7);
    }
  });

  test("of the largest and of the smallest floats overflows nothing", () => {
    const vector = numbers(4_096, 7);
    const huge = vector.map((value) => Math.sign(value) * 3.4e38);
    expect(signatureOf(huge)).toEqual(signatureOf(huge.map(Math.sign)));
    expect(signatureOf(huge.map((value) => Math.sign(value) * 1e-45))).toEqual(signatureOf(huge.map(Math.sign)));
  });
});

describe("nearest signatures", () => {
  test("are those with the fewest bits that differ, then those with higher indices", () => {
    const anyCase = fc.integer({ min: 1, max: 8 }).chain((words) =>
      fc.record({
        // Few values, so that many distances are equal.
        signatures: fc.array(fc.uint8Array({ minLength: words * 8, maxLength: words * 8, max: 3 }), { maxLength: 30 }),
        signature: fc.uint8Array({ minLength: words * 8, maxLength: words * 8 }),
        m: fc.nat({ max: 35 }),
        offset: fc.nat({ max: 4 }),
      }),
    );
    fc.assert(
      fc.property(anyCase, ({ signatures, signature, m, offset }) => {
        const distance = (other: Uint8Array) =>
          other.reduce((sum, byte, at) => {
            return sum + [...(byte ^ (signature[at] as number)).toString(2)].filter((bit) => bit === "1").length;
          }, 0);
        const all = new Uint8Array(Buffer.concat([new Uint8Array(offset), ...signatures])).subarray(offset);
        const sorted = [...signatures.keys()].sort(
          (a, b) => distance(signatures[a] as Uint8Array) - distance(signatures[b] as Uint8Array) || b - a,
        );
        expect(nearest(all, signature, m)).toEqual(sorted.slice(0, m));
        for (const other of signatures) expect(hamming(other, signature)).toBe(distance(other));
      }),
      { numRuns: 500 },
    );
  });

  test("hold the nearest vectors", () => {
    const vectors = Array.from({ length: 2_000 }, (_, index) => {
      const center = numbers(384, (index % 40) + 1);
      const own = numbers(384, index + 1_000);
      return center.map((value, at) => value + 0.7 * (own[at] as number));
    });
    const all = new Uint8Array(Buffer.concat(vectors.map(signatureOf)));
    let found = 0;
    for (let query = 0; query < 20; query++) {
      const vector = (vectors[query * 7] as Float32Array).map(
        (value, at) => value + 0.7 * (numbers(384, query + 9_000)[at] as number),
      );
      const near = new Set(nearest(all, signatureOf(vector), 200));
      const similarities = vectors.map((other) => cosine(vector, other));
      const best = [...vectors.keys()].sort((a, b) => (similarities[b] as number) - (similarities[a] as number));
      found += best.slice(0, 10).filter((index) => near.has(index)).length;
    }
    expect(found / 200).toBeGreaterThanOrEqual(0.99);
  });

  test("of none are none", () => {
    expect(nearest(new Uint8Array(0), new Uint8Array(32), 10)).toEqual([]);
  });
});

describe("a cosine", () => {
  test.each<[readonly number[], readonly number[], number]>([
    [[1, 0], [1, 0], 1],
    [[1, 0], [0, 1], 0],
    [[1, 2], [-2, -4], -1],
    [[3e38, 3e38], [3e38, 0], Math.SQRT1_2],
    [[1e-45, 1e-45], [1e-45, 0], Math.SQRT1_2],
    [[3e38, 1e-45], [1e-45, 3e38], 0],
    [[0, 0], [1, 0], 0],
  ])("of %j and %j is %d", (a, b, expected) => {
    expect(cosine(Float32Array.from(a), Float32Array.from(b))).toBeCloseTo(expected, 12);
  });

  test("is symmetric, from -1 to 1, and does not depend on lengths", () => {
    fc.assert(
      fc.property(anyVector, anyVector, (one, other) => {
        const length = Math.min(one.length, other.length);
        const [a, b] = [one.subarray(0, length), other.subarray(0, length)];
        expect(cosine(a, b)).toBe(cosine(b, a));
        expect(Math.abs(cosine(a, b))).toBeLessThanOrEqual(1);
        if (a.some((value) => value !== 0)) expect(cosine(a, a)).toBeCloseTo(1, 12);
      }),
    );
  });

  test("is that of an exact sum", () => {
    // The floats as whole numbers of 2^-24: products and their sums are exact in bigints.
    const whole = (vector: Float32Array) => [...vector].map((value) => BigInt(Math.round(value * 2 ** 24)));
    for (let seed = 1; seed < 20; seed++) {
      const [a, b] = [numbers(768, seed), numbers(768, seed + 100)].map((vector) =>
        vector.map((value) => Math.round(value * 2 ** 20) / 2 ** 20),
      ) as [Float32Array, Float32Array];
      const dot = (x: bigint[], y: bigint[]) => x.reduce((sum, value, at) => sum + value * (y[at] as bigint), 0n);
      const [x, y] = [whole(a), whole(b)];
      const exact = Number(dot(x, y)) / Math.sqrt(Number(dot(x, x))) / Math.sqrt(Number(dot(y, y)));
      expect(Math.abs(cosine(a, b) - exact)).toBeLessThan(1e-12);
    }
  });
});

describe("a vector that is checked", () => {
  test("is copied in single precision", () => {
    const given = Float32Array.of(0.1, -2);
    const checked = checkVector("embedding", given, null);
    expect(checked).toEqual(given);
    given[0] = 9;
    expect(checked[0]).toBe(Math.fround(0.1));
    expect(checkVector("embedding", [0.1, 3e11, 0], 3)).toEqual(Float32Array.of(0.1, 3e11, 0));
    expect(checkVector("embedding", new Array(MAX_DIMENSIONS).fill(1), null)).toHaveLength(MAX_DIMENSIONS);
  });

  test("is scaled by a power of two if float32 cannot hold its length: no cosine changes", () => {
    for (const size of [3e38, 1e25, 1e-30, 1e-44]) {
      const given = Float32Array.of(size, size / 2, -size);
      const checked = checkVector("embedding", given, null);
      expect(checked.every((coordinate) => Math.abs(coordinate) <= 2)).toBe(true);
      const [first = 0, other = 0] = [checked[0], given[0]];
      expect(Number.isInteger(Math.log2(first / other))).toBe(true);
      expect(cosine(checked, Float32Array.of(1, 2, 3))).toBe(cosine(given, Float32Array.of(1, 2, 3)));
    }
  });

  test.each<[given: unknown, dimensions: number | null, message: string]>([
    ["[1]", null, "expected embedding to be a Float32Array or an array of numbers, got a string of 3 characters"],
    [null, null, "expected embedding to be a Float32Array or an array of numbers, got null"],
    [new Float64Array(3), null, "expected embedding to be a Float32Array or an array of numbers, got an object"],
    [[], null, "expected embedding.length to be from 1 to 4096, got 0"],
    [new Array(4_097).fill(1), null, "expected embedding.length to be from 1 to 4096, got 4097"],
    [[1, 2], 3, "expected embedding.length to be 3, got 2"],
    [[1, Number.NaN], null, "expected embedding[1] to be a finite number in single precision, got NaN"],
    [
      Float32Array.of(Number.POSITIVE_INFINITY),
      null,
      "expected embedding[0] to be a finite number in single precision, got Infinity",
    ],
    [[1e39], null, "expected embedding[0] to be a finite number in single precision, got 1e+39"],
    [["1"], null, "expected embedding[0] to be a finite number in single precision, got a string of 1 character"],
    [new Array(2), null, "expected embedding[0] to be a finite number in single precision, got undefined"],
    [[1n], null, "expected embedding[0] to be a finite number in single precision, got a bigint"],
    [[0, -0], null, "expected embedding to be not all zero in single precision, got an array"],
    [[1e-50, 0], null, "expected embedding to be not all zero in single precision, got an array"],
    [new Float32Array(2), 2, "expected embedding to be not all zero in single precision, got an object"],
  ])("is refused: %#", (given, dimensions, message) => {
    expect(() => checkVector("embedding", given, dimensions)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message }),
    );
  });
});
