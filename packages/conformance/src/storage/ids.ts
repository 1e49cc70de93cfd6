import { randomBytes } from "node:crypto";

/** Returns a new UUIDv7 (RFC 9562) with this time, as callers make for checkpoints of their own past. */
export function idAt(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  const random = randomBytes(10).toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`;
}

/** Returns the time of a UUIDv7 in milliseconds. */
export function timeOf(id: string): number {
  return Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
}

/** Runs synchronous work with a stopped clock: `Date.now()` returns `timeMs`. */
export function atTime<Result>(timeMs: number, work: () => Result): Result {
  const now = Date.now;
  Date.now = () => timeMs;
  try {
    return work();
  } finally {
    Date.now = now;
  }
}
