// Deterministic states: the same in every run.

const WORDS = (
  "the a of to and in that is was for with as on at by from agent answer ask branch call change check code column cost data " +
  "day delta detail draft edit error file find first follow found history idea index issue item key last later line list long " +
  "look make mean memory message model move name need new next note number old open order own page part path place plan point " +
  "prompt question read reason record result return review row run same save search second see send set short show size small " +
  "source start state step stop store table take task test text then thing time tool trace turn type use user value wait watch " +
  "way whole word work write wrong year"
).split(" ");

/**
 * Returns random words, the same for the same seed.
 * @param {string} seed
 * @param {number} count
 */
function text(seed, count) {
  let random = 2_166_136_261;
  for (const character of seed) random = Math.imul(random ^ character.charCodeAt(0), 16_777_619) >>> 0;
  const words = [];
  for (let at = 0; at < count; at++) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    words.push(WORDS[(random >>> 8) % WORDS.length]);
  }
  return words.join(" ");
}

/** @typedef {{ readonly role: string; readonly content: unknown }} Message */

/** @type {Map<string, readonly Message[]>} */
const said = new Map();

/**
 * Returns the messages of one turn: the same objects in each state that contains them, as in a real agent's states.
 * @param {string} topic
 * @param {number} turn
 */
function messagesOf(topic, turn) {
  const key = `${topic} ${turn}`;
  const known = said.get(key);
  if (known !== undefined) return known;
  const call = { id: `call_${turn}`, name: "search", arguments: { query: text(`${key} query`, 4), limit: 10 } };
  const messages = [
    { role: "user", content: text(`${key} user`, 12) },
    ...(turn % 4 === 0 ? [{ role: "tool", content: [call] }] : []),
    { role: "assistant", content: text(`${key} assistant`, 30) },
  ];
  said.set(key, messages);
  return messages;
}

/**
 * Returns the state of an agent after a number of turns of a growing history: some 5 kB at first, 30 kB after 90 turns.
 * @param {string} topic
 * @param {number} turns
 * @param {readonly Message[]} more messages after these turns, on another topic
 */
export function conversation(topic, turns, more = []) {
  const messages = Array.from({ length: turns }, (_, at) => messagesOf(topic, at + 1)).flat();
  return {
    turn: turns + more.length,
    system: text(`${topic} system`, 840),
    messages: [...messages, ...more],
    usage: { input: turns * 311 + more.length, output: turns * 97 },
    isDone: false,
  };
}

/**
 * Returns messages on another topic.
 * @param {string} topic
 * @param {number} count
 * @returns {Message[]}
 */
export function aside(topic, count) {
  return Array.from({ length: count }, (_, at) => ({ role: "user", content: text(`${topic} aside ${at}`, 20) }));
}

/**
 * Returns the versions of a history that is edited, not only appended to, in their order.
 * @returns {unknown[]}
 */
export function editedHistories() {
  const { messages, system, ...rest } = conversation("editor", 30);
  const [before, after] = [messages.slice(0, 20), messages.slice(21)];
  const edited = [...before, { role: "user", content: text("edited", 25) }, ...after];
  const summary = { role: "system", content: text("summary", 60) };
  const summarised = [...edited.slice(0, 4), summary, ...edited.slice(40)];
  return [
    { system, messages, ...rest },
    { system, messages: edited, ...rest },
    { system, messages: edited, ...rest, usage: { input: 1, output: 2 } },
    { ...rest, messages: edited, system }, // other keys first
    { ...rest, messages: [...edited, ...aside("editor", 2)], system: `${system}, and more` },
    { ...rest, messages: summarised, system },
    { ...rest, messages: [...summarised, ...aside("editor", 3)], system },
    { ...rest, messages: summarised.toReversed(), system },
  ];
}

/**
 * Returns a state with all values that JSON cannot represent.
 * @param {number} turn
 */
export function tagged(turn) {
  const sparse = [1];
  sparse[4] = turn;
  return {
    $: "a key of the state's own",
    $$set: [turn],
    missing: undefined,
    zero: -0,
    numbers: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, 1e21],
    large: 2n ** 100n + BigInt(turn),
    negative: -1n,
    when: new Date(Date.UTC(1969, 6, 20) + turn),
    bytes: Uint8Array.from({ length: 48 }, (_, at) => (at * 37 + turn) % 256),
    buffer: Buffer.from(`buffer ${turn}`),
    seen: new Map(
      /** @type {[unknown, unknown][]} */ ([
        ["a", 1],
        [2n, new Set([undefined, -0])],
        [null, new Map()],
      ]),
    ),
    files: new Set(["a.txt", "ä.txt", `${turn}.txt`]),
    sparse,
    text: 'é 😀 \u0000 \ud800 "quoted" \\ \u2028',
    empty: { object: {}, array: [], text: "", nothing: null },
  };
}

/**
 * Returns the same values with a history, which makes the state long enough to be stored as a delta.
 * @param {number} turn
 */
export function taggedHistory(turn) {
  const bytes = Uint8Array.from({ length: 1_500 }, (_, at) => (Math.imul(at, 2_654_435_761) >>> 13) % 256);
  return {
    ...tagged(turn),
    history: conversation("collector", 6 + turn).messages,
    system: text("collector", 700),
    bytes,
  };
}

/** Small states of every kind of value. */
export const smallStates = [
  null,
  undefined,
  true,
  0,
  -0,
  1.5,
  "",
  "text",
  "\ud800",
  10n,
  [],
  {},
  [[]],
  new Date(0),
  new Set(),
];

/**
 * Returns a state of some 300 kB that compresses well: a log with repeated lines.
 * @param {number} more lines at the end
 */
export function longLog(more) {
  const known = Array.from({ length: 40 }, (_, at) => text(`log ${at}`, 14));
  const lines = Array.from({ length: 3_950 }, (_, at) => `${known[(at * 7 + (at >> 5)) % 40]}`);
  return { log: [...lines, ...aside("log", more)], position: lines.length + more };
}

/**
 * Returns a state with a long text and a list of numbers that change in their middle, and with a deeply nested value.
 * @param {number} version
 */
export function longTexts(version) {
  const [draft, middle] = [text("draft", 3_000), 6_000];
  const more = text(`insertion ${version}`, 10 * version);
  const numbers = Array.from({ length: 1_500 }, (_, at) => (at === 700 ? version : (at * at) % 1_000));
  let nested = /** @type {unknown} */ (version);
  for (let level = 0; level < 300; level++) nested = level % 2 === 0 ? [nested] : { nested };
  return { draft: `${draft.slice(0, middle)}${more}${draft.slice(middle)}`, numbers, nested };
}
