import { randomBytes } from "node:crypto";

/**
 * UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, then 74 bits that count up within a millisecond (section 6.2,
 * method 2). So ids sort by the time when they were made, as strings and as bytes.
 */

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The end of the year 9999: no clock shows later times. A generator that an id has pushed there has 900 years left. */
const MAX_ID_TIME_MS = 253_402_300_799_999;

/** Returns the id in lower case, or `null` if it is not a UUIDv7. */
export function parseId(text: string): string | null {
  const id = text.toLowerCase();
  return UUID_V7.test(id) ? id : null;
}

/** Returns whether an id's time is one that a clock may have shown. */
export function hasPlausibleTime(id: string): boolean {
  return idTime(id) <= MAX_ID_TIME_MS;
}

/** Returns the time when an id was made, in milliseconds since 1970-01-01 UTC. */
export function idTime(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** Returns the lowest id of a millisecond. */
export function firstIdAt(timeMs: number): string {
  const hex = Math.max(0, Math.min(timeMs, MAX_ID_TIME_MS)).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}

/** Returns the id one below, UUIDv7 or not: ranges leave out their ends. */
export function predecessor(id: string): string {
  return fromNumber(BigInt(`0x${id.replaceAll("-", "")}`) - 1n);
}

/** Returns the id one above, UUIDv7 or not. */
export function successor(id: string): string {
  return fromNumber(BigInt(`0x${id.replaceAll("-", "")}`) + 1n);
}

function fromNumber(number: bigint): string {
  const hex = number.toString(16).padStart(32, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The 74 counted bits, in parts that a JavaScript number holds exactly. */
interface Tail {
  /** 12 bits: rand_a. */
  high: number;
  /** 30 bits: the upper part of rand_b. */
  middle: number;
  /** 32 bits: the lower part of rand_b. */
  low: number;
}

/**
 * Makes ids above all that it has made or {@link IdClock.observe}d, whatever the machine's clock says: a checkpoint that is
 * stored after reading the latest one sorts after it.
 */
export class IdClock {
  #time = 0;
  #tail: Tail = { high: 0, middle: 0, low: 0 };

  next(): string {
    // A replaced clock may show fractions, or NaN.
    const now = Math.min(Math.floor(Date.now()) || 0, MAX_ID_TIME_MS);
    if (now > this.#time) {
      this.#time = now;
      this.#tail = randomTail();
    } else {
      this.#count();
    }
    return format(this.#time, this.#tail);
  }

  /** Makes no id at or below this one from now on. `id` is in lower case; one that is not a UUIDv7 is ignored. */
  observe(id: string): void {
    const time = idTime(id);
    if (!(time >= this.#time) || !UUID_V7.test(id) || time > MAX_ID_TIME_MS) return;
    if (time === this.#time && id <= format(this.#time, this.#tail)) return;
    this.#time = time;
    this.#tail = parseTail(id);
  }

  /** Counts up within the millisecond, by a random stride, so that ids cannot be guessed from their neighbours. */
  #count(): void {
    const tail = this.#tail;
    tail.low += 1 + (randomWords(1)[0] as number);
    if (tail.low <= 0xffff_ffff) return;
    tail.low = tail.low % 0x1_0000_0000;
    tail.middle += 1;
    if (tail.middle <= 0x3fff_ffff) return;
    tail.middle = 0;
    tail.high += 1;
    if (tail.high <= 0xfff) return;
    this.#time += 1;
    this.#tail = randomTail();
  }
}

/** The clock of this process. All storages share it, so that an agent may move between them. */
export const idClock = new IdClock();

/**
 * Makes an id for a checkpoint, above all that this process has made or read. For stores that another process may repeat: a
 * repetition has the same id and the same content, `createdAt` included.
 */
export function newCheckpointId(): string {
  return idClock.next();
}

let pool: Uint32Array<ArrayBuffer> = new Uint32Array(0);
let taken = 0;

/** Takes random 32-bit words from a pool: asking the kernel for each id costs more than everything else here. */
function randomWords(count: number): Uint32Array {
  if (taken + count > pool.length) {
    pool = new Uint32Array(256);
    pool.set(new Uint32Array(new Uint8Array(randomBytes(pool.byteLength)).buffer));
    taken = 0;
  }
  taken += count;
  return pool.subarray(taken - count, taken);
}

function randomTail(): Tail {
  const words = randomWords(3);
  // The top bits start at zero, so that a millisecond has room to count up in.
  return { high: (words[0] as number) & 0x7ff, middle: (words[1] as number) & 0x3fff_ffff, low: words[2] as number };
}

function parseTail(id: string): Tail {
  const variantAndMiddle = Number.parseInt(id.slice(19, 23) + id.slice(24, 28), 16);
  return {
    high: Number.parseInt(id.slice(15, 18), 16),
    middle: variantAndMiddle & 0x3fff_ffff,
    low: Number.parseInt(id.slice(28), 16),
  };
}

function format(timeMs: number, tail: Tail): string {
  const time = timeMs.toString(16).padStart(12, "0");
  const high = tail.high.toString(16).padStart(3, "0");
  const middle = (0x8000_0000 + tail.middle).toString(16); // the variant, 0b10, and 30 bits
  const low = tail.low.toString(16).padStart(8, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${high}-${middle.slice(0, 4)}-${middle.slice(4)}${low}`;
}

/** Makes a revision of a row: an id, so that of two revisions the later one sorts after the other. */
export function newRevision(): string {
  return idClock.next();
}
