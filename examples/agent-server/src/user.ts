/**
 * Reads the user from a header, in place of a verified session or token. Checks only the form of the name, since it becomes
 * part of an agent's id.
 */
export function userOf({ headers }: Request): string | null {
  const user = headers.get("x-user") ?? "";
  return /^[a-z0-9][a-z0-9-]{0,63}$/.test(user) ? user : null;
}
