import { createHash } from "node:crypto";

/**
 * Returns the number that stands for an agent's memories of one type: the first 53 bits of a SHA-256. Nothing is asked of the database for
 * it. Two may share a number, so what is found by it says by itself whose it is.
 */
export function spaceOf(agent: string, type: string): number {
  const digest = createHash("sha256").update(`${agent}\n${type}`).digest();
  return digest.readUIntBE(0, 6) * 2 ** 5 + ((digest[6] as number) >> 3);
}
