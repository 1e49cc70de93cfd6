import { setImmediate } from "node:timers/promises";
import type { Row } from "../checkpoints/dialect.ts";
import { listHeads } from "../checkpoints/read.ts";
import { isTombstone } from "../checkpoints/tombstones.ts";
import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
import { checkProgressOptions } from "../database/arguments.ts";
import { isEncrypted, keyIdOf } from "./ciphertext.ts";
import { batchesOf, encryptedEngines } from "./reencrypt.ts";

export interface CountKeysOptions extends CallOptions {
  /** Called after each batch with the counts so far. An error that it throws ends the work, and is rethrown as it is. */
  readonly onProgress?: ((counts: KeyCounts) => void) | undefined;
}

export interface KeyCount {
  readonly checkpoints: number;
  /** Results of tasks, see `appendWrites`. */
  readonly writes: number;
}

export interface KeyCounts {
  /** By the key's name: all keys of the ring, also those that nothing needs, and keys that are needed though the ring lacks them. */
  readonly keys: Readonly<Record<string, KeyCount>>;
  /** What is not encrypted. */
  readonly plain: KeyCount;
  /** What does not say its key any more: it is damaged, or a newer version wrote it. */
  readonly unreadable: KeyCount;
}

const OPERATION = "count encryption keys";

/**
 * Counts what is stored by the key that it is encrypted with: a key whose counts are 0, and which no process has as `current`,
 * can be retired. Nothing is decrypted or changed. It reads all states once, newest first, in bounded steps, beside other work.
 *
 * Of a storage of `openCheckpointStorage` it adds up the counts of all providers that encrypt.
 * @throws CheckpointError `INVALID_ARGUMENT` if the storage does not encrypt; and the codes of a database
 */
export async function countEncryptionKeys(
  storage: CheckpointStorage,
  options: CountKeysOptions = {},
): Promise<KeyCounts> {
  const { signal, onProgress } = checkProgressOptions<KeyCounts>(options);
  const counts = new Counts();
  for (const [engine, { dialect, keys }] of encryptedEngines(storage)) {
    const { session } = engine;
    const ring = await session.run(OPERATION, signal, (deadline) => keys.refresh(deadline));
    for (const name of ring.keys.keys()) counts.of(name);
    for await (const heads of listHeads(engine, OPERATION, {}, signal)) {
      for (const ids of batchesOf(heads)) {
        const [rows, writes] = await session.run(OPERATION, signal, async (deadline) => [
          await dialect.readRows(ids, deadline),
          await dialect.readTaskWrites(ids, deadline),
        ]);
        for (const row of rows) if (!isTombstone(row)) counts.add(row, "checkpoints");
        for (const write of writes) counts.add(write, "writes");
        onProgress?.(counts.toResult());
        await setImmediate(); // a synchronous driver would otherwise block the event loop
      }
    }
  }
  return counts.toResult();
}

class Counts {
  readonly #keys = new Map<string, { checkpoints: number; writes: number }>();
  readonly #plain = { checkpoints: 0, writes: 0 };
  readonly #unreadable = { checkpoints: 0, writes: 0 };

  of(name: string): { checkpoints: number; writes: number } {
    const count = this.#keys.get(name) ?? { checkpoints: 0, writes: 0 };
    this.#keys.set(name, count);
    return count;
  }

  add(stored: Pick<Row, "encoding" | "state">, kind: keyof KeyCount): void {
    const name = isEncrypted(stored) ? keyIdOf(stored) : undefined;
    const count = name === undefined ? this.#plain : name === null ? this.#unreadable : this.of(name);
    count[kind] += 1;
  }

  toResult(): KeyCounts {
    const keys = Object.fromEntries([...this.#keys].map(([name, count]) => [name, { ...count }]));
    return { keys, plain: { ...this.#plain }, unreadable: { ...this.#unreadable } };
  }
}
