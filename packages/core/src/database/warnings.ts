/**
 * Warnings, for what is no error and still not as the user may expect: a part of a URL that has no effect, for example. Node
 * prints them to stderr; `process.on("warning", listener)` and `--disable-warning=CODE` are the program's means.
 */

const warned = new Set<string>();

/** Emits a warning, once for each text in a process: pools and config files repeat the same mistake. */
export function warnOnce(code: string, message: string): void {
  if (warned.has(message)) return;
  warned.add(message);
  process.emitWarning(message, { type: "WaymarkWarning", code });
}
