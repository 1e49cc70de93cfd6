/**
 * Structural sharing for the output of any serializer: replaces parts of parsed data by equal parts of earlier data, and
 * freezes the rest. A storage recognizes frozen objects that it had before, and neither encodes nor compares them again.
 * (`encode` shares as it goes.)
 */
export function share<Data>(earlier: Data | undefined, data: Data): Data {
  if (data === earlier) return data;
  if (typeof data !== "object" || data === null || data instanceof Uint8Array || Object.isFrozen(data)) return data;
  const members = data as Record<string, unknown>;
  const before = typeof earlier === "object" && Array.isArray(earlier) === Array.isArray(data) ? earlier : null;
  const keys = Object.keys(members);
  const keysBefore = before === null ? [] : Object.keys(before);
  let isEqual = before !== null && keys.length === keysBefore.length;
  for (const [at, key] of keys.entries()) {
    const member = members[key];
    const memberBefore = before !== null && Object.hasOwn(before, key) ? Reflect.get(before, key) : undefined;
    const shared = share(memberBefore, member);
    if (shared !== member) members[key] = shared;
    isEqual &&= Object.is(shared, memberBefore) && key === keysBefore[at];
  }
  return isEqual ? (before as Data) : Object.freeze(data);
}
