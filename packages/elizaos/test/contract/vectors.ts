/** Vectors of a plane: the similarity of two is the cosine of the angle between them. */

/** Returns a vector at an angle, in degrees, whose other coordinates are 0. */
export function atAngle(degrees: number, dimensions = 384): number[] {
  const radians = (degrees * Math.PI) / 180;
  const vector = new Array<number>(dimensions).fill(0);
  vector[0] = Math.cos(radians);
  if (dimensions > 1) vector[1] = Math.sin(radians);
  return vector;
}

/** Rounds to the digits that a vector comes back with. */
export function rounded(vector: readonly number[]): number[] {
  return vector.map((value) => Number(Math.fround(value).toPrecision(7)));
}
