import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";

/** Texts that some collation of some database treats as equal. */
const LOOKALIKES: Readonly<Record<string, readonly string[]>> = {
  case: ["agent", "Agent", "AGENT", "aGENT"],
  accents: ["resume", "résume", "résumé", "resumé"],
  "trailing and leading spaces": ["a", "a ", "a  ", " a", "a\t", "a\n", "a\r\n", "a\u00a0", "a\u3000"],
  "normalisation forms": [
    "\u00e9",
    "e\u0301",
    "\u212b",
    "\u00c5",
    "A\u030a",
    "\ufb01",
    "fi",
    "한",
    "\u1112\u1161\u11ab",
  ],
  "letters that expand": ["ß", "ss", "SS", "ẞ", "æ", "ae", "Æ", "œ", "oe"],
  "letters that some languages fold": ["i", "I", "ı", "İ", "i\u0307", "σ", "ς", "Σ", "ё", "е"],
  "widths and kinds of letters": ["a", "ａ", "ª", "ᵃ", "1", "１", "¹", "①", "あ", "ア", "ｱ"],
  "characters that collations ignore": [
    "ab",
    "a\u200bb",
    "a\u200db",
    "a\u00adb",
    "a\ufeffb",
    "a\u0001b",
    "a\u0301b",
    "a-b",
  ],
  emoji: ["🚀", "🛸", "👍", "👍🏽", "❤", "❤\ufe0f", "👨‍👩‍👧", "👨👩👧"],
  "slashes, quotes and wildcards": ["a/b", "a\\b", "a\\\\b", "a'b", 'a"b', "a`b", "a%b", "a_b", "a*b"],
  "numbers as text": ["1", "01", "1.0", "1e0", "+1", "true", "null", "undefined", "NaN"],
};

export function describeIdentity(bench: Bench): void {
  const lookalikes = Object.entries(LOOKALIKES);

  describe("identity, compared byte for byte", () => {
    it.each(lookalikes)("keeps agents apart that differ in %s", async (_, words) => {
      const prefix = newAgent();
      for (const word of words) await bench.storage.storeCheckpoint(checkpointOf(`${prefix}${word}|`, { state: word }));
      // Once with a suffix and once without: trailing spaces must count at the very end.
      for (const word of words) await bench.storage.storeCheckpoint(checkpointOf(`${prefix}${word}`, { state: word }));
      for (const word of words) {
        const agentId = `${prefix}${word}`;
        expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ agentId, state: word });
        expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
      }
      const agents = (await bench.storage.listAgents({ limit: 10_000 })).filter((agent) => agent.startsWith(prefix));
      expect(new Set(agents)).toStrictEqual(
        new Set(words.flatMap((word) => [`${prefix}${word}`, `${prefix}${word}|`])),
      );
    });

    it.each(lookalikes)("keeps namespaces apart that differ in %s", async (_, words) => {
      const agentId = newAgent();
      for (const namespace of words) {
        const store = bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace, state: namespace }), {
          ifLatest: null,
        });
        await store;
      }
      for (const namespace of words) {
        expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace })).toMatchObject({
          namespace,
          state: namespace,
        });
        expect(await bench.storage.listCheckpoints({ agentId, namespace })).toHaveLength(1);
      }
      expect(await bench.storage.deleteAgent(agentId, { namespace: words[0] as string })).toBe(1);
    });

    it.each(lookalikes)("keeps names apart that differ in %s", async (_, words) => {
      const agentId = newAgent();
      for (const name of words) await bench.storage.storeCheckpoint(checkpointOf(agentId, { name }));
      for (const name of words)
        expect(await bench.storage.listCheckpoints({ agentId, name })).toMatchObject([{ name }]);
    });

    it("keeps agents and namespaces apart that are the same text when concatenated", async () => {
      const agentId = newAgent();
      const pairs = [
        ["a", "bc"],
        ["ab", "c"],
        ["abc", ""],
        ["a:b", "c"],
        ["a", "b:c"],
      ] as const;
      for (const [suffix, namespace] of pairs) {
        await bench.storage.storeCheckpoint(checkpointOf(agentId + suffix, { namespace }), { ifLatest: null });
      }
      for (const [suffix, namespace] of pairs) {
        expect(await bench.storage.listCheckpoints({ agentId: agentId + suffix, namespace })).toHaveLength(1);
      }
    });

    it("keeps agents apart that differ in the 255th byte", async () => {
      const first = newAgent().padEnd(254, "x");
      for (const last of ["a", "b"]) await bench.storage.storeCheckpoint(checkpointOf(first + last, { state: last }));
      expect(await bench.storage.retrieveLatestCheckpoint(`${first}a`)).toMatchObject({ state: "a" });
    });

    it("keeps namespaces apart that differ in the 1,024th byte", async () => {
      const agentId = newAgent();
      const first = "n".repeat(1_023);
      for (const last of ["a", "b"]) {
        await bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace: first + last, state: last }), {
          ifLatest: null,
        });
      }
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: `${first}a` })).toMatchObject({
        state: "a",
      });
    });
  });
}
