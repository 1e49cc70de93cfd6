import type { Database } from "./databases.ts";

/** A row, read around the storage. */
export interface StoredRow {
  readonly id: string;
  readonly baseId: string | null;
  /** Agent of the checkpoint. Empty for a tombstone. */
  readonly agentId: string;
  readonly encoding: string;
  readonly stateBytes: number;
  readonly storedBytes: number;
  readonly isPending: boolean;
  /** All columns that must be equal in main and backup. */
  readonly content: string;
  /** Name of the key of an encrypted row. */
  readonly keyName: string;
}

/** Reads the rows of checkpoints and tombstones, newest first. */
export async function rowsOf({ run, sql: { hex, id } }: Database, prefix: string): Promise<StoredRow[]> {
  const content = ["agent_id", "namespace", "name", "created_at", "metadata", "state_bytes"];
  const columns = [
    ...["id", "base_id", "parent_id"].map((name) => `${id(name)} as ${name}`),
    ...content,
    "encoding, pending, octet_length(state) as stored_bytes",
    `${hex("digest")} as digest, ${hex("substr(state, 1, 80)")} as beginning`,
  ];
  const rows = await run(`select ${columns.join(", ")} from ${prefix}agent_checkpoints order by id desc`);
  return rows.map((row) => ({
    id: uuid(row["id"]) as string,
    baseId: uuid(row["base_id"]),
    agentId: text(row["agent_id"]) as string,
    encoding: text(row["encoding"]) as string,
    stateBytes: Number(row["state_bytes"]),
    storedBytes: Number(row["stored_bytes"]),
    isPending: row["pending"] !== null,
    content: [...content, "parent_id", "digest"].map((name) => `${name}: ${text(row[name])}`).join("\n"),
    keyName: keyName(Buffer.from(text(row["beginning"]) as string, "hex")),
  }));
}

/** Reads the task writes, as a line each: checkpoint, rank, and content. */
export async function writesOf({ run, sql: { hex, id } }: Database, prefix: string): Promise<string[]> {
  const plain = ["task_id", "write_index", "channel", "task_path", "state_bytes"];
  const columns = [`${id("checkpoint_id")} as checkpoint_id`, `${id("write_rank")} as write_rank`, ...plain];
  const rows = await run(
    `select ${columns.join(", ")}, ${hex("digest")} as digest from ${prefix}agent_checkpoint_writes`,
  );
  const names = ["checkpoint_id", "write_rank", "digest", ...plain];
  return rows.map((row) => names.map((name) => `${name}: ${text(row[name])}`).join(", ")).sort();
}

/** Reads the names of the keys with which task writes are encrypted. */
export async function keysOfWrites({ run, sql: { hex } }: Database, prefix: string): Promise<string[]> {
  const rows = await run(`select ${hex("substr(state, 1, 80)")} as beginning from ${prefix}agent_checkpoint_writes`);
  return rows.map((row) => keyName(Buffer.from(text(row["beginning"]) as string, "hex")));
}

/** Returns the chain of a row: the row, its base, the base of that, and so on. */
export function chainOf(rows: readonly StoredRow[], id: string): StoredRow[] {
  const known = new Map(rows.map((row) => [row.id, row]));
  const chain: StoredRow[] = [];
  for (let row = known.get(id); row !== undefined; row = known.get(row.baseId ?? "")) chain.push(row);
  return chain;
}

/** Changes a bit in the middle of a state. */
export async function damage({ run, sql }: Database, prefix: string, which: string): Promise<void> {
  const where = `where ${sql.id("id")} = '${which.replaceAll("-", "")}'`;
  const [row] = await run(`select ${sql.hex("state")} as state from ${prefix}agent_checkpoints ${where}`);
  const state = Buffer.from(text(row?.["state"]) as string, "hex");
  const middle = state.length >> 1;
  state[middle] = (state[middle] as number) ^ 1;
  await run(`update ${prefix}agent_checkpoints set state = ${sql.bytes(state.toString("hex"))} ${where}`);
}

/** Returns the key name in an encrypted state. The state begins with a version, the length of the name, and the name. */
function keyName(beginning: Buffer): string {
  return beginning.toString("latin1", 2, 2 + (beginning[1] ?? 0));
}

function text(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return Buffer.isBuffer(value) ? value.toString("utf8") : String(value);
}

/** Formats hex digits as a UUID. Returns `null` for null, and for an empty text, which SQLite's hex() makes of it. */
function uuid(digits: unknown): string | null {
  return text(digits)?.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") || null;
}
