// The packages of commit 793ce5e: unpacked where their drivers are found, and loaded.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * Unpacks them into a folder of their own, which whoever asks removes. It is below this package's node_modules: what they
 * import beside each other is found there.
 */
export function unpackOldPackages() {
  const parent = fileURLToPath(new URL("../node_modules", import.meta.url));
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, ".v793ce5e-"));
  const archive = fileURLToPath(new URL("../v793ce5e/packages.tgz", import.meta.url));
  execFileSync("tar", ["-xzf", archive, "-C", folder]);
  return folder;
}

/** @param {string} folder as {@link unpackOldPackages} has returned it */
export async function loadOldPackages(folder) {
  /**
   * @param {string} name
   * @returns {Promise<unknown>}
   */
  const load = (name) => import(pathToFileURL(join(folder, "node_modules/@waymark", name, "dist/index.js")).href);
  const [core, sqlite, postgres, mysql] = await Promise.all(["core", "sqlite", "postgres", "mysql"].map(load));
  return {
    // As far as they are used here, they have the types of today.
    .../** @type {Pick<typeof import("@waymark/core"), "createReplicatedStorage" | "reencryptCheckpoints">} */ (core),
    .../** @type {Pick<typeof import("@waymark/sqlite"), "createSQLiteStorage">} */ (sqlite),
    .../** @type {Pick<typeof import("@waymark/postgres"), "createPostgresStorage">} */ (postgres),
    .../** @type {Pick<typeof import("@waymark/mysql"), "createMySQLStorage">} */ (mysql),
  };
}
