/**
 * In place of a session or a token that is verified: it believes what the header says. Only the shape is checked, since
 * the name becomes part of an agent's id.
 */
export function userOf({ headers }: Request): string | null {
  const user = headers.get("x-user") ?? "";
  return /^[a-z0-9][a-z0-9-]{0,63}$/.test(user) ? user : null;
}
