import { CheckpointError, type CheckpointWrite } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { WriteQueue } from "../src/write-queue.ts";

// Races lie between two answers of a database. Here the test gives each answer.

const address = { threadId: "thread", namespace: "", checkpointId: "checkpoint" };
const write = (taskId: string, value: unknown = taskId): CheckpointWrite => ({ taskId, index: 0, channel: "c", value });
const batch = (...taskIds: string[]) => ({ writes: taskIds.map((taskId) => write(taskId)), bytes: 1 });

/** A queue whose appends the test answers; `calls` has the task ids of each. */
function scripted() {
  const calls: { tasks: string[]; answer: (found: boolean) => void; fail: (error: Error) => void }[] = [];
  const queue = new WriteQueue(
    (_, writes) =>
      new Promise<boolean>((answer, fail) => {
        calls.push({ tasks: writes.map(({ taskId }) => taskId), answer, fail });
      }),
  );
  return { calls, queue };
}

/** Starts a put, which the test ends. */
function putting(queue: WriteQueue) {
  const { promise, resolve, reject } = deferred<string>();
  return { done: queue.put(address, () => promise), store: () => resolve("id"), fail: reject };
}

function deferred<Value>() {
  let resolve: (value: Value) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<Value>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Resolves when everything that needs no answer is done. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  await turn();
  return settled;
}

describe("the queue of writes", () => {
  it("appends writes that arrive during an append together, after it", async () => {
    const { calls, queue } = scripted();
    const adding = [queue.add(address, batch("a")), queue.add(address, batch("b")), queue.add(address, batch("c"))];
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"]]);
    calls[0]?.answer(true);
    await turn();
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"], ["b", "c"]]);
    expect(await Promise.all(adding.map(isSettled))).toEqual([true, false, false]);
    calls[1]?.answer(true);
    await Promise.all(adding);
  });

  it("does not wait for the appends of another checkpoint", () => {
    const { calls, queue } = scripted();
    void queue.add(address, batch("a"));
    void queue.add({ ...address, checkpointId: "other" }, batch("b"));
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"], ["b"]]);
  });

  it("waits for a put that is under way", async () => {
    const { calls, queue } = scripted();
    const put = putting(queue);
    const added = queue.add(address, batch("a"));
    await turn();
    expect(calls).toEqual([]);
    put.store();
    await turn();
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"]]);
    expect(await isSettled(put.done)).toBe(true); // these writes were not acknowledged before it
    calls[0]?.answer(true);
    await added;
  });

  it("appends held writes before the put resolves, and before waiting ones", async () => {
    const { calls, queue } = scripted();
    const held = queue.add(address, batch("held"));
    calls[0]?.answer(false);
    await held;
    const put = putting(queue);
    void queue.add(address, batch("waiting"));
    put.store();
    await turn();
    expect(calls[1]?.tasks).toEqual(["held", "waiting"]);
    expect(await isSettled(put.done)).toBe(false);
    calls[1]?.answer(true);
    expect(await put.done).toBe("id");
  });

  it("appends again if the checkpoint was put during the append", async () => {
    const { calls, queue } = scripted();
    const added = queue.add(address, batch("a"));
    const put = putting(queue);
    put.store();
    await put.done; // begins and ends before the answer, which is outdated
    calls[0]?.answer(false);
    await turn();
    expect(calls[1]?.tasks).toEqual(["a"]);
    calls[1]?.answer(true);
    await added;
  });

  it("appends again if a put began during the append", async () => {
    const { calls, queue } = scripted();
    const added = queue.add(address, batch("a"));
    const put = putting(queue);
    calls[0]?.answer(false);
    expect(await isSettled(added)).toBe(false);
    put.store();
    await put.done;
    await turn();
    calls[1]?.answer(true);
    await added;
  });

  it("keeps held writes for the next put when a put fails", async () => {
    const { calls, queue } = scripted();
    const held = queue.add(address, batch("held"));
    calls[0]?.answer(false);
    await held;
    const first = putting(queue);
    first.fail(new Error("down"));
    await expect(first.done).rejects.toThrow("down");
    const second = putting(queue);
    second.store();
    await turn();
    expect(calls[1]?.tasks).toEqual(["held"]);
    calls[1]?.answer(true);
    await second.done;
  });

  it("rejects a put whose held writes cannot be appended, and keeps them", async () => {
    const { calls, queue } = scripted();
    const held = queue.add(address, batch("held"));
    calls[0]?.answer(false);
    await held;
    const put = putting(queue);
    put.store();
    await turn();
    calls[1]?.fail(new CheckpointError("UNAVAILABLE", "gone"));
    await expect(put.done).rejects.toThrow("gone");
    // Acknowledged writes are held for the next put.
    const again = putting(queue);
    again.store();
    await turn();
    expect(calls[2]?.tasks).toEqual(["held"]);
    calls[2]?.answer(true);
    await again.done;
  });

  it("rejects only the refused one of several held batches", async () => {
    const { calls, queue } = scripted();
    for (const task of ["good", "bad"]) {
      const held = queue.add(address, batch(task));
      calls.at(-1)?.answer(false);
      await held;
    }
    const put = putting(queue);
    const outcome = put.done.catch((error: Error) => error.message);
    put.store();
    // The batches may come together or one by one.
    for (let answered = 2; answered < 10; ) {
      await turn();
      const call = calls[answered];
      if (call === undefined) break;
      answered += 1;
      if (call.tasks.includes("bad")) call.fail(new CheckpointError("UNSUPPORTED_VALUE", "no"));
      else call.answer(true);
    }
    expect(await outcome).toBe("no");
    expect(calls.some(({ tasks }) => tasks.join() === "good")).toBe(true);
  });

  it("retries batches one by one if the storage refused them, but not if it is unreachable", async () => {
    const { calls, queue } = scripted();
    const outcomes = async () => {
      const from = calls.length;
      const first = queue.add(address, batch("first"));
      const others = ["good", "bad"].map((task) => queue.add(address, batch(task)));
      calls[from]?.answer(true);
      await first;
      await turn();
      return { at: from + 1, settled: Promise.allSettled(others) };
    };
    const refused = await outcomes();
    calls[refused.at]?.fail(new CheckpointError("UNSUPPORTED_VALUE", "no"));
    await turn();
    calls[refused.at + 1]?.answer(true);
    await turn();
    calls[refused.at + 2]?.fail(new CheckpointError("UNSUPPORTED_VALUE", "no"));
    expect((await refused.settled).map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);

    const down = await outcomes();
    calls[down.at]?.fail(new CheckpointError("UNAVAILABLE", "down"));
    expect((await down.settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(calls).toHaveLength(down.at + 1);
  });

  it("holds 64 MB, and drops the oldest first", async () => {
    const { calls, queue } = scripted();
    const ids = ["oldest", "middle", "newest"];
    for (const [index, checkpointId] of ids.entries()) {
      const held = queue.add({ ...address, checkpointId }, { writes: [write(checkpointId)], bytes: 30_000_000 });
      calls[index]?.answer(false);
      await held;
    }
    const puts = ids.map((checkpointId) => queue.put({ ...address, checkpointId }, async () => checkpointId));
    await turn();
    expect(calls.slice(3).map(({ tasks }) => tasks)).toEqual([["middle"], ["newest"]]);
    for (const { answer } of calls) answer(true);
    await Promise.all(puts);
  });

  it("drops the held writes of a deleted thread, and of no other", async () => {
    const { calls, queue } = scripted();
    const other = { ...address, threadId: "other" };
    for (const [index, of] of [address, other].entries()) {
      const held = queue.add(of, batch("held"));
      calls[index]?.answer(false);
      await held;
    }
    await queue.dropThread("thread");
    await queue.put(address, async () => "id");
    expect(calls).toHaveLength(2);
    const put = queue.put(other, async () => "id");
    await turn();
    calls[2]?.answer(true);
    await put;
  });
});
