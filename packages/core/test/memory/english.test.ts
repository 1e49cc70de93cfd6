import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isStopWord, stem } from "../../src/memory/english.ts";

describe("the stem of an English word", () => {
  // Pairs of Snowball's English stemmer, each for a rule: all 42,633 words of its vocabulary were compared when this was written.
  test.each(
    Object.entries({
      // plurals
      ...{
        caresses: "caress",
        ponies: "poni",
        ties: "tie",
        cries: "cri",
        gas: "gas",
        gaps: "gap",
        kiwis: "kiwi",
        bus: "bus",
      },
      // past and present
      ...{
        agreed: "agre",
        feed: "feed",
        plastered: "plaster",
        bled: "bled",
        motoring: "motor",
        sing: "sing",
        hopefully: "hope",
      },
      ...{
        hoping: "hope",
        hopping: "hop",
        falling: "fall",
        hissing: "hiss",
        fizzed: "fizz",
        failing: "fail",
        filing: "file",
      },
      ...{
        conflated: "conflat",
        troubled: "troubl",
        sized: "size",
        adding: "add",
        egged: "egg",
        vying: "vie",
        luxuriated: "luxuri",
      },
      // y
      ...{
        happy: "happi",
        sky: "sky",
        say: "say",
        by: "by",
        cry: "cri",
        youth: "youth",
        boyish: "boyish",
        syzygy: "syzygi",
      },
      // longer suffixes
      ...{
        relational: "relat",
        conditional: "condit",
        rational: "ration",
        valenci: "valenc",
        digitizer: "digit",
        adoption: "adopt",
      },
      ...{
        conformably: "conform",
        radically: "radic",
        differently: "differ",
        analogously: "analog",
        vietnamization: "vietnam",
      },
      ...{
        predication: "predic",
        operator: "oper",
        feudalism: "feudal",
        decisiveness: "decis",
        hopefulness: "hope",
        formality: "formal",
      },
      ...{
        sensitivity: "sensit",
        sensibility: "sensibl",
        triplicate: "triplic",
        formative: "format",
        formalize: "formal",
      },
      ...{
        electrical: "electr",
        goodness: "good",
        revival: "reviv",
        allowance: "allow",
        inference: "infer",
        airliner: "airlin",
      },
      ...{
        adjustable: "adjust",
        irritant: "irrit",
        replacement: "replac",
        adjustment: "adjust",
        dependent: "depend",
        communism: "communism",
      },
      ...{
        geologist: "geolog",
        homologous: "homolog",
        effective: "effect",
        probate: "probat",
        rate: "rate",
        controlling: "control",
      },
      // exceptions
      ...{
        skies: "sky",
        dying: "die",
        ugly: "ugli",
        news: "news",
        evening: "evening",
        proceeds: "proceed",
        university: "universiti",
      },
      ...{
        international: "internat",
        organization: "organiz",
        organic: "organic",
        paste: "paste",
        past: "past",
        generously: "generous",
      },
    }),
  )("of %s is %s", (word, expected) => {
    expect(stem(word)).toBe(expected);
  });

  // Terms in databases depend on every stem: another digest here needs another version of the analyzer.
  test("stays the same for ever", () => {
    const letters = "etaoinsrhldcy";
    const endings = [
      "",
      "s",
      "es",
      "ed",
      "ing",
      "ly",
      "ies",
      "ation",
      "ness",
      "ful",
      "ity",
      "ement",
      "izer",
      "e",
      "y",
      "ogist",
    ];
    const stems: string[] = [];
    for (const a of letters) {
      for (const b of letters) {
        for (const c of letters) for (const ending of endings) stems.push(stem(`${a}${b}${c}${ending}`));
      }
    }
    expect(createHash("sha256").update(stems.join(" ")).digest("hex")).toBe(
      "c02255c9d7f57d0f0160a7d2f70d8b5b438cc11f7174b8c6471f86f57f30d080",
    );
  });

  test("of a word of less than three letters is the word", () => {
    expect(["", "a", "is", "by"].map(stem)).toEqual(["", "a", "is", "by"]);
  });
});

test("stop words are function words", () => {
  expect(["the", "of", "would", "yourself"].every(isStopWord)).toBe(true);
  expect(["", "us", "may", "go", "ai", "constructor", "tree"].some(isStopWord)).toBe(false);
});
