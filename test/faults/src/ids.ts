import { randomBytes } from "node:crypto";

/** Returns a UUIDv7 above `last`, as an application makes that names its checkpoints itself. */
export function idAfter(last: string | null): string {
  const lastTime = last === null ? 0 : Number.parseInt(last.slice(0, 8) + last.slice(9, 13), 16);
  const time = Math.max(Date.now(), lastTime + 1)
    .toString(16)
    .padStart(12, "0");
  const tail = randomBytes(9).toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${tail.slice(0, 3)}-8${tail.slice(3, 6)}-${tail.slice(6)}`;
}
