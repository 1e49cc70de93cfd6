// Unpacks and loads the packages of commit 793ce5e.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * Unpacks the packages into a new folder, and returns it. The caller removes it. It is below this package's node_modules, where
 * they find their drivers and other dependencies.
 */
export function unpackOldPackages() {
  const parent = fileURLToPath(new URL("../node_modules", import.meta.url));
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, ".v793ce5e-"));
  const archive = fileURLToPath(new URL("../v793ce5e/packages.tgz", import.meta.url));
  execFileSync("tar", ["-xzf", archive, "-C", folder]);
  return folder;
}

/**
 * Loads the unpacked packages.
 * @param {string} folder the folder that {@link unpackOldPackages} returned
 */
export async function loadOldPackages(folder) {
  /**
   * @param {string} name
   * @returns {Promise<unknown>}
   */
  const load = (name) => import(pathToFileURL(join(folder, "node_modules/@waymark", name, "dist/index.js")).href);
  const [core, sqlite, postgres, mysql] = await Promise.all(["core", "sqlite", "postgres", "mysql"].map(load));
  return {
    // The functions used here still have the same types.
    .../** @type {Pick<typeof import("@waymark/core"), "createReplicatedStorage" | "reencryptCheckpoints">} */ (core),
    .../** @type {Pick<typeof import("@waymark/sqlite"), "createSQLiteStorage">} */ (sqlite),
    .../** @type {Pick<typeof import("@waymark/postgres"), "createPostgresStorage">} */ (postgres),
    .../** @type {Pick<typeof import("@waymark/mysql"), "createMySQLStorage">} */ (mysql),
  };
}
