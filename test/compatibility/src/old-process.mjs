// A process of commit 793ce5e: runs commands that test/old-process.ts sends, with the packages of that commit.

import { loadOldPackages } from "./old-packages.mjs";

/** @import { CheckpointStorage } from "@waymark/core" */

const { createReplicatedStorage, reencryptCheckpoints, ...factories } = await loadOldPackages(
  /** @type {string} */ (process.argv[2]),
);

/** @type {CheckpointStorage[]} */
const storages = [];

/** @type {Record<string, (...args: never[]) => unknown>} */
const commands = {
  /**
   * @param {keyof typeof factories} factory
   * @param {never} options
   */
  open: (factory, options) => storages.push(factories[factory](options)) - 1,
  /**
   * @param {number} main
   * @param {number} backup
   * @param {object} options
   */
  replicate: (main, backup, options) =>
    storages.push(createReplicatedStorage({ main: storageOf(main), backup: storageOf(backup), ...options })) - 1,
  /** @param {number} storage */
  reencrypt: (storage) => reencryptCheckpoints(storageOf(storage)),
  /**
   * @param {number} storage
   * @param {string} method
   * @param {readonly unknown[]} args
   */
  call: async (storage, method, args) => {
    const on = /** @type {Record<string, (...args: readonly unknown[]) => unknown>} */ (
      /** @type {unknown} */ (storageOf(storage))
    );
    const answer = await on[method]?.(...args);
    if (!isIterable(answer)) return answer;
    const all = [];
    for await (const one of answer) all.push(one);
    return all;
  },
};

/** @param {number} number */
function storageOf(number) {
  return /** @type {CheckpointStorage} */ (storages[number]);
}

/**
 * @param {unknown} answer
 * @returns {answer is AsyncIterable<unknown>}
 */
function isIterable(answer) {
  return typeof answer === "object" && answer !== null && Symbol.asyncIterator in answer;
}

process.on(
  "message",
  async (/** @type {{ number: number; command: string; args: never[] }} */ { number, command, args }) => {
    try {
      process.send?.({ number, answer: await commands[command]?.(...args) });
    } catch (error) {
      const { code, message } = /** @type {Error & { code?: string }} */ (error);
      process.send?.({ number, error: { code, message } });
    }
  },
);
process.on("disconnect", () => process.exit());
process.send?.({ number: -1 });
