import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { closeOnExit } from "../../src/agent/close-on-exit.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { INDEX } from "./counter.ts";

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it said, and then its warnings. */
  readonly output: string;
}

/**
 * Runs a module whose body may use `closeOnExit`, `say`, `storage(name)`, whose `close` takes a short time, and `part(name)`,
 * the same as a function without options.
 */
function start(program: string): { child: ChildProcess; said(text: string): Promise<void>; exit: Promise<Exit> } {
  const prologue = `
    import { writeSync } from "node:fs";
    import { setTimeout as delay } from "node:timers/promises";
    import { closeOnExit } from ${JSON.stringify(INDEX)};
    const say = (text) => writeSync(1, text + "\\n");
    const storage = (name, ms = 20) => ({
      async close(options) {
        say("closing " + name + " " + JSON.stringify(options));
        await delay(ms);
        say("closed " + name);
        return { unsent: null };
      },
    });
    const part = (name) => {
      const { close } = storage(name);
      return () => close();
    };
    const stay = setInterval(() => {}, 1_000);
  `;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", prologue + program], { env });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  let errors = "";
  const awaited = new Map<string, () => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    for (const [said, resolve] of awaited) if (output.includes(`${said}\n`)) resolve();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const warnings = () => errors.replace(/^\(node:\d+\) |^\(Use .*\n/gm, "");
  return {
    child,
    said: (said) => new Promise((resolve) => (output.includes(`${said}\n`) ? resolve() : awaited.set(said, resolve))),
    exit: once(child, "close").then(([code, signal]) => ({ code, signal, output: output + warnings() })),
  };
}

describe.skipIf(process.platform === "win32")("a process", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("closes its storages, then ends by the signal: %s", async (signal) => {
    const { child, said, exit } = start(`
      closeOnExit(storage("one"), { timeoutMs: 500 });
      closeOnExit(storage("two", 60));
      say("ready");`);
    await said("ready");
    child.kill(signal);
    const output = 'ready\nclosing one {"timeoutMs":500}\nclosing two {}\nclosed one\nclosed two\n';
    expect(await exit).toEqual({ code: null, signal, output });
  });

  test("closes its storages if it has nothing left to do, and keeps its exit code", async () => {
    const { exit } = start(`
      process.exitCode = 7;
      closeOnExit(storage("one"));
      clearInterval(stay);`);
    expect(await exit).toEqual({ code: 7, signal: null, output: "closing one {}\nclosed one\n" });
  });

  test("closes a storage once that was registered twice, with the last options", async () => {
    const { child, said, exit } = start(`
      const one = storage("one");
      closeOnExit(one, { timeoutMs: 1 });
      closeOnExit(one, { timeoutMs: 2 });
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    expect((await exit).output).toBe('ready\nclosing one {"timeoutMs":2}\nclosed one\n');
  });

  test.each([
    ["before", "closeOnExit(last); closeOnExit([first, last]);"],
    ["after", "closeOnExit([first, last]); closeOnExit(last);"],
    ["beside", "closeOnExit([first, last]); closeOnExit([first, last]);"],
    ["in", "closeOnExit([last, first, last]);"],
  ])("closes what is registered alone, or again, %s a list after what is before it in the list", async (_, calls) => {
    const { child, said, exit } = start(`
      const [first, last] = [part("first"), part("last")];
      ${calls}
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    const parts = ["closing first undefined", "closed first", "closing last undefined", "closed last"];
    expect((await exit).output).toBe(`ready\n${parts.join("\n")}\n`);
  });

  test("closes the rest of every list that has the same first part", async () => {
    const { child, said, exit } = start(`
      const server = part("server");
      closeOnExit([server, part("one")]);
      closeOnExit([server, part("two")]);
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    const lines = (await exit).output.replaceAll(" undefined", "").trimEnd().split("\n");
    const rest = ["closing one", "closing two", "closed one", "closed two"];
    expect(lines).toEqual(["ready", "closing server", "closed server", ...rest]);
  });

  test("closes each part once even if two lists contradict each other", async () => {
    const { child, said, exit } = start(`
      const [one, two] = [part("one"), part("two")];
      closeOnExit([one, two], { timeoutMs: 20 });
      closeOnExit([two, one], { timeoutMs: 20 });
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    const lines = (await exit).output.split("\n");
    expect(lines.filter((line) => line.startsWith("closed")).sort()).toEqual(["closed one", "closed two"]);
  });

  test("ends at once at the second signal", async () => {
    const { child, said, exit } = start(`
      closeOnExit(storage("one", 60_000));
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    await said("closing one {}");
    child.kill("SIGINT");
    expect(await exit).toEqual({ code: null, signal: "SIGINT", output: "ready\nclosing one {}\n" });
  });

  test("closes a list in its order, each part within what is left of the time, and goes on after one that fails or hangs", async () => {
    const { child, said, exit } = start(`
      const left = [];
      const last = { close({ timeoutMs }) { left.push(timeoutMs); say("last " + left.every((ms, i) => i === 0 || ms <= left[i - 1])); } };
      closeOnExit([
        async ({ timeoutMs }) => { left.push(timeoutMs); await delay(20); say("one"); },
        { async [Symbol.asyncDispose]() { say("two"); throw new Error("no"); } },
        ({ timeoutMs }) => { left.push(timeoutMs); say("three"); return new Promise(() => {}); },
        { close: ({ timeoutMs }) => say("late " + timeoutMs) },
        last,
      ], { timeoutMs: 200 });
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    const warning = "[WAYMARK_CLOSE] WaymarkWarning: closeOnExit: closing a part of the program failed: Error";
    const output = `ready\none\ntwo\nthree\nlate 0\nlast true\n${warning}\n`;
    expect(await exit).toEqual({ code: null, signal: "SIGTERM", output });
  });

  test("waits for the last of a list as for a single storage", async () => {
    const { child, said, exit } = start(`
      closeOnExit([() => {}, storage("one", 60)], { timeoutMs: 0 });
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    expect((await exit).output).toBe('ready\nclosing one {"timeoutMs":0}\nclosed one\n');
  });

  test("ends also where its own signal does nothing, as in the first process of a container", async () => {
    const { child, said, exit } = start(`
      process.kill = () => true;
      closeOnExit(storage("one"));
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    expect(await exit).toEqual({ code: 143, signal: null, output: "ready\nclosing one {}\nclosed one\n" });
  });

  test("ends by the signal even if closing fails, and warns of it without a value", async () => {
    const { child, said, exit } = start(`
      const failed = () => Object.assign(new RangeError("a password"), { code: "E_NO" });
      closeOnExit({ close: () => Promise.reject(failed()) });
      // As Fastify's: its close takes a callback.
      closeOnExit({ close(callback) { callback(); } });
      closeOnExit(() => { throw "a password"; });
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    const thrown = ["RangeError (E_NO)", "TypeError", "a string of 10 characters"];
    const { code, signal, output } = await exit;
    const [first, ...warnings] = output.trimEnd().split("\n");
    expect([code, signal, first, ...warnings.sort()]).toEqual([
      ...[null, "SIGTERM", "ready"],
      ...thrown.map(
        (one) => `[WAYMARK_CLOSE] WaymarkWarning: closeOnExit: closing a part of the program failed: ${one}`,
      ),
    ]);
  });

  test("is left to other listeners of the signal, which end it when they are done", async () => {
    const { child, said, exit } = start(`
      closeOnExit(storage("one"));
      process.on("SIGTERM", async () => {
        await delay(200);
        say("done");
        process.exit(3);
      });
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    expect(await exit).toEqual({ code: 3, signal: null, output: "ready\nclosing one {}\nclosed one\ndone\n" });
  });

  test("closes no storage whose registration was undone, unless it is registered again", async () => {
    const { child, said, exit } = start(`
      const [one, two] = [storage("one"), storage("two")];
      const undo = closeOnExit(one);
      closeOnExit(two)();
      undo();
      undo();
      say(String(process.listenerCount("SIGTERM") + process.listenerCount("beforeExit")));
      closeOnExit(two);
      say("ready");`);
    await said("ready");
    child.kill("SIGTERM");
    expect(await exit).toEqual({ code: null, signal: "SIGTERM", output: "0\nready\nclosing two {}\nclosed two\n" });
  });
});

test("undoing a call leaves what other calls registered", () => {
  const listeners = () => process.listenerCount("SIGTERM");
  const storage = { close: async () => ({ unsent: null }) };
  const [undoFirst, undoSecond] = [closeOnExit(storage), closeOnExit([() => {}, storage])];
  undoSecond();
  undoSecond();
  expect(listeners()).toBe(1);
  undoFirst();
  expect(listeners()).toBe(0);
  const undoThird = closeOnExit(storage);
  undoFirst();
  expect(listeners()).toBe(1);
  undoThird();
  expect(listeners()).toBe(0);
});

test("a server is followed until the last call with it is undone", () => {
  const server = createServer();
  const before = server.listenerCount("request");
  const undo = [closeOnExit([server, () => {}]), closeOnExit(server)];
  expect(server.listenerCount("request")).toBe(before + 1);
  undo[0]?.();
  expect(server.listenerCount("request")).toBe(before + 1);
  undo[1]?.();
  expect(server.listenerCount("request")).toBe(before);
});

test("closeOnExit refuses wrong arguments at once", () => {
  const storage = { close: async () => ({ unsent: null }) };
  expect(() => closeOnExit([])).toThrow("targets");
  expect(() => closeOnExit([storage, {} as never])).toThrow("targets[1]");
  expect(() => closeOnExit(undefined as never)).toThrow(CheckpointError);
  expect(() => closeOnExit(storage, { timeout: 1 } as never)).toThrow(CheckpointError);
  expect(() => closeOnExit(storage, { timeoutMs: -1 })).toThrow("options.timeoutMs");
  expect(process.listenerCount("beforeExit")).toBe(0);
});
