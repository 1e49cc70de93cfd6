import type { Handle } from "../handle.ts";

/**
 * Returns whether the functions of sqlite-vec are there. If not, and the database is ours, they are loaded, if that package is
 * installed and the driver loads extensions. Everything works without them, more slowly.
 */
export async function haveVectorFunctions(handle: Handle, load: boolean): Promise<boolean> {
  if (areThere(handle)) return true;
  if (!load || handle.loadExtension === undefined) return false;
  try {
    const { getLoadablePath } = await import("sqlite-vec");
    handle.loadExtension(getLoadablePath());
  } catch {
    return false; // not installed, or not for this platform
  }
  return areThere(handle);
}

function areThere(handle: Handle): boolean {
  try {
    handle.value("select vec_version()");
    return true;
  } catch {
    return false;
  }
}
