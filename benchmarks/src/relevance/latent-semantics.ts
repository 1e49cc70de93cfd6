import { analyze } from "@waymark/core/memory/kit";
import { randomOf } from "../random.ts";

/**
 * Vectors made of the texts themselves: latent semantic analysis (Deerwester and others, 1990). Texts are projected on the directions in which
 * the collection varies most. It stands in for an embedding model, where there is none: real vectors of real texts, which know no more
 * than which words occur together, and know the texts that are searched. A model's figures will be others.
 *
 * Returns the function that embeds, texts of the collection and queries alike.
 */
export function latentSemantics(texts: readonly string[], dimensions: number): (text: string) => Float32Array {
  const documents = texts.map((text) => analyze(text, "en").terms);
  const rows = new Map<string, number>();
  const frequencies: number[] = [];
  for (const terms of documents) {
    for (const term of terms.keys()) {
      const row = rows.get(term) ?? rows.size;
      rows.set(term, row);
      frequencies[row] = (frequencies[row] ?? 0) + 1;
    }
  }
  const weigh = (terms: ReadonlyMap<string, number>): Sparse => {
    const cells: [number, number][] = [];
    for (const [term, tf] of terms) {
      const row = rows.get(term);
      if (row === undefined) continue;
      cells.push([row, (1 + Math.log(tf)) * Math.log(texts.length / (frequencies[row] as number))]);
    }
    const length = Math.hypot(...cells.map(([, weight]) => weight)) || 1;
    return cells.map(([row, weight]) => [row, weight / length]);
  };
  const matrix = documents.map(weigh);

  // Subspace iteration: the basis turns to the directions with the largest singular values.
  const random = randomOf(1);
  let basis = Array.from({ length: rows.size }, () =>
    Float64Array.from({ length: dimensions }, () => random.below(2_000) / 1_000 - 1),
  );
  for (let round = 0; round < 6; round++) {
    orthonormalize(basis, dimensions);
    const next = basis.map(() => new Float64Array(dimensions));
    for (const document of matrix) {
      const projected = project(document, basis, dimensions);
      for (const [row, weight] of document) addTo(next[row] as Float64Array, projected, weight);
    }
    basis = next;
  }
  orthonormalize(basis, dimensions);
  return (text) => {
    const vector = project(weigh(analyze(text, "en").terms), basis, dimensions);
    if (vector.every((value) => value === 0)) vector[0] = 1; // a text without words, of which there are two
    return Float32Array.from(vector);
  };
}

type Sparse = readonly (readonly [row: number, weight: number])[];

function project(document: Sparse, basis: readonly Float64Array[], dimensions: number): Float64Array {
  const projected = new Float64Array(dimensions);
  for (const [row, weight] of document) addTo(projected, basis[row] as Float64Array, weight);
  return projected;
}

function addTo(sum: Float64Array, vector: Float64Array, factor: number): void {
  for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] as number) + factor * (vector[at] as number);
}

/** Gram and Schmidt's method, on columns. */
function orthonormalize(rows: readonly Float64Array[], dimensions: number): void {
  const columns = Array.from({ length: dimensions }, (_, column) =>
    Float64Array.from(rows, (row) => row[column] as number),
  );
  for (const [at, column] of columns.entries()) {
    for (const before of columns.slice(0, at)) addTo(column, before, -dot(before, column));
    const length = Math.sqrt(dot(column, column)) || 1;
    for (const [row, value] of column.entries()) {
      column[row] = value / length;
      (rows[row] as Float64Array)[at] = value / length;
    }
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}
