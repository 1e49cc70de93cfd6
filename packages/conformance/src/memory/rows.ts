import {
  type ItemRow,
  NEVER,
  type SignatureRow,
  type SpaceRow,
  type TermRow,
  type ThreadRow,
  type VectorRow,
} from "@waymark/core/memory/kit";

/** A signal that never aborts. */
export const signal: AbortSignal = new AbortController().signal;

/** Texts that are different byte by byte, though some engine or collation takes two of them for the same, or one for a pattern. */
export const TEXTS: readonly string[] = [
  ...["", " ", "a", "A", "a ", "a  ", " a", "a\t", "a\n", "a\r\n", "aa", "ab", "aB", "b", "B", "z", "Z"],
  ...["á", "a\u0301", "Á", "ä", "æ", "ae", "ß", "ss", "SS", "ẞ", "ı", "i", "I", "İ", "ñ", "n", "ﬁ", "fi", "é", "e"],
  ...["а", "Α", "ά", "١", "1", "①", "½", "カ", "ｶ", "か", "が", "か\u3099", "漢", "𠮷", "東京都"],
  ...["a\u00ad", "a\u200b", "a\u200d", "a\ufeff", "a\u0001", "\u0001", "\u001f", "\u007f", "\u0085", "\u2028"],
  ...["\ud7ff", "\ue000", "\uffff", "\ufffd", "\u{10000}", "\u{10ffff}", "😀", "👩‍💻", "👩", "🇩🇪"],
  ...[
    "%",
    "_",
    "a%",
    "a_",
    "\\",
    "\\\\",
    "\\%",
    "'",
    "''",
    '"',
    "`",
    "[a]",
    "*",
    "?",
    "$1",
    ":a",
    "{}",
    "null",
    "NULL",
  ],
];

export function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** Every byte once. */
export const ALL_BYTES = Uint8Array.from(numbers(0, 255));

/** Returns the UUID of a whole number. UUIDs of numbers from 0 on have their order. */
export function uuidOf(number: number): string {
  const hex = BigInt.asUintN(64, BigInt(number)).toString(16).padStart(16, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-${hex.slice(12).padStart(12, "0")}`;
}

export function newSpace(number: number, owner: string, columns: Partial<SpaceRow> = {}): SpaceRow {
  return {
    number,
    owner,
    collection: "messages",
    removal: 0,
    language: "none",
    analyzer: 1,
    items: 0,
    tokens: 0,
    generation: 1,
    dimensions: null,
    model: null,
    nextGeneration: null,
    nextDimensions: null,
    nextModel: null,
    nextMissed: 0,
    lastGeneration: 1,
    lastNumber: 0,
    createdAt: 1_700_000_000_000,
    revision: uuidOf(1),
    pending: null,
    ...columns,
  };
}

export function newThread(owner: string, id: string, columns: Partial<ThreadRow> = {}): ThreadRow {
  return {
    owner,
    id,
    kind: "conversation",
    items: 0,
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_000_000,
    revision: uuidOf(1),
    pending: null,
    title: null,
    metadata: null,
    ...columns,
  };
}

export function newItem(space: number, number: number, columns: Partial<ItemRow> = {}): ItemRow {
  return {
    space,
    number,
    id: uuidOf(number),
    owner: `owner of ${space}`,
    thread: null,
    role: null,
    key: null,
    importance: 0.5,
    createdAt: 1_700_000_000_000,
    expiresAt: NEVER,
    length: 3,
    textDigest: null,
    checkpointId: null,
    revision: uuidOf(1),
    pending: null,
    metadata: null,
    text: `text ${number}`,
    rawText: null,
    encoding: null,
    valueBytes: null,
    valueDigest: null,
    value: null,
    ...columns,
  };
}

export function newVector(space: number, number: number, vector: Float32Array, generation = 1): VectorRow {
  return { space, generation, number, dimensions: vector.length, vector };
}

export function newSignature(space: number, number: number, signature: Uint8Array, generation = 1): SignatureRow {
  return { space, generation, number, signature };
}

export function newTerm(space: number, term: string, number: number, frequency = 1, length = 10): TermRow {
  return { space, term, number, frequency, length };
}

/** Returns rows with their bytes as text, which shows what differs, and with floats as their bits. */
export function comparable(rows: readonly object[]): Record<string, unknown>[] {
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, comparableValue(value)])),
  );
}

function comparableValue(value: unknown): unknown {
  // A zero has no sign that every engine keeps.
  if (value === 0) return 0;
  if (value instanceof Float32Array) {
    const bits = new Uint32Array(value.map((float) => (float === 0 ? 0 : float)).buffer);
    return `floats ${[...bits].map((one) => one.toString(16)).join(" ")}`;
  }
  return value instanceof Uint8Array ? `bytes ${Buffer.from(value).toString("hex")}` : value;
}

/** Compares two values of a column as all engines have to: texts and bytes byte for byte, UUIDs as texts, numbers as numbers. */
export function compare(one: unknown, other: unknown): number {
  if (typeof one === "number" && typeof other === "number") return one < other ? -1 : one > other ? 1 : 0;
  return Buffer.compare(bytesOf(one), bytesOf(other));
}

function bytesOf(value: unknown): Uint8Array {
  return typeof value === "string" ? Buffer.from(value) : (value as Uint8Array);
}

/** Returns whether a filter selects a row: the definition of filters, in JavaScript. */
export function selects(where: object, row: object): boolean {
  const values = row as Readonly<Record<string, unknown>>;
  return Object.entries(where).every(([column, wanted]) => {
    const value = values[column];
    if (wanted === undefined) return true;
    if (wanted === null || value === null) return wanted === value || isEmpty(wanted);
    if (typeof wanted !== "object" || wanted instanceof Uint8Array) return compare(value, wanted) === 0;
    return Object.entries(wanted).every(([member, operand]) => {
      if (operand === undefined) return true;
      if (member === "in") return (operand as readonly unknown[]).some((one) => compare(value, one) === 0);
      if (member === "contains") return (operand as readonly string[]).every((part) => String(value).includes(part));
      return COMPARISONS[member]?.(compare(value, operand));
    });
  });
}

/** A comparison without members, or without parts to contain, compares nothing. */
function isEmpty(wanted: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null || wanted instanceof Uint8Array) return false;
  return Object.entries(wanted).every(
    ([member, operand]) => operand === undefined || (member === "contains" && (operand as unknown[]).length === 0),
  );
}

const COMPARISONS: Readonly<Record<string, (order: number) => boolean>> = {
  not: (order) => order !== 0,
  above: (order) => order > 0,
  from: (order) => order >= 0,
  below: (order) => order < 0,
  to: (order) => order <= 0,
};

/** A generator of numbers from 0 on below 1, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pick<Value>(values: readonly Value[], random: () => number): Value {
  return values[Math.floor(random() * values.length)] as Value;
}
