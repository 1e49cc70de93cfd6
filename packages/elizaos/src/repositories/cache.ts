import { createHash } from "node:crypto";
import { insertRecords, removeRecords } from "@waymark/core/records";
import { checkString } from "../checks.ts";
import type { Database } from "../database.ts";
import { fromJson, textToJson, toJson } from "../json.ts";
import { CACHE, type CacheRow } from "../tables.ts";
import { applySteps } from "../writes.ts";

/** The cache of this agent: values by keys, of any length. Nothing expires. */
export class Cache {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns a value; `undefined` if there is none. */
  async getCache<Value>(key: string): Promise<Value | undefined> {
    const where = this.#key(checkKey(key));
    const [row] = await this.#database.run("get cache", (records, signal) =>
      records.find(CACHE, { where, columns: ["value"], limit: 1 }, signal),
    );
    return row === undefined ? undefined : fromJson<Value>(row.value);
  }

  /** Sets a value, which may be `null`. `undefined` deletes it, since that is what is read then. */
  async setCache<Value>(key: string, value: Value): Promise<boolean> {
    if (value === undefined) return await this.deleteCache(key);
    const text = checkKey(key);
    const row: CacheRow = { ...this.#key(text), createdAt: Date.now(), key: text, value: toJson("value", value) };
    await applySteps(this.#database, "set cache", [insertRecords(CACHE, [row], "update")], "agent");
    return true;
  }

  async deleteCache(key: string): Promise<boolean> {
    const where = this.#key(checkKey(key));
    await applySteps(this.#database, "delete cache", [removeRecords(CACHE, where)]);
    return true;
  }

  #key(text: string): Pick<CacheRow, "agent" | "digest"> {
    return { agent: this.#database.agentId, digest: cacheDigest(text) };
  }
}

function checkKey(key: unknown): string {
  return textToJson(checkString("key", key));
}

/** Returns the digest of a key, which is given as the text of its column. */
export function cacheDigest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
