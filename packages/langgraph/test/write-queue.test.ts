import { CheckpointError, type CheckpointWrite } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { WriteQueue } from "../src/write-queue.ts";

// The moments that count lie between two answers of a database: here they are given one by one.

const target = { threadId: "thread", namespace: "", checkpointId: "checkpoint" };
const write = (taskId: string, value: unknown = taskId): CheckpointWrite => ({ taskId, index: 0, channel: "c", value });
const given = (...taskIds: string[]) => ({ writes: taskIds.map((taskId) => write(taskId)), bytes: 1 });

/** Calls that wait to be answered, with the tasks that each was to append. */
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

/** A put, and what ends it. */
function putting(queue: WriteQueue) {
  const { promise, resolve, reject } = deferred<string>();
  return { done: queue.put(target, () => promise), store: () => resolve("id"), fail: reject };
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

/** Until nothing is left that needs no answer. */
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
  it("sends together what is given while others are on their way", async () => {
    const { calls, queue } = scripted();
    const all = [queue.add(target, given("a")), queue.add(target, given("b")), queue.add(target, given("c"))];
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"]]);
    calls[0]?.answer(true);
    await turn();
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"], ["b", "c"]]);
    expect(await Promise.all(all.map(isSettled))).toEqual([true, false, false]);
    calls[1]?.answer(true);
    await Promise.all(all);
  });

  it("sends those of another checkpoint at once", () => {
    const { calls, queue } = scripted();
    void queue.add(target, given("a"));
    void queue.add({ ...target, checkpointId: "other" }, given("b"));
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"], ["b"]]);
  });

  it("waits for a put that is under way", async () => {
    const { calls, queue } = scripted();
    const put = putting(queue);
    const added = queue.add(target, given("a"));
    await turn();
    expect(calls).toEqual([]);
    put.store();
    await turn();
    expect(calls.map(({ tasks }) => tasks)).toEqual([["a"]]);
    expect(await isSettled(put.done)).toBe(true); // it had not acknowledged these
    calls[0]?.answer(true);
    await added;
  });

  it("brings what is held along with the put, before what is waiting", async () => {
    const { calls, queue } = scripted();
    const held = queue.add(target, given("held"));
    calls[0]?.answer(false);
    await held;
    const put = putting(queue);
    void queue.add(target, given("waiting"));
    put.store();
    await turn();
    expect(calls[1]?.tasks).toEqual(["held", "waiting"]);
    expect(await isSettled(put.done)).toBe(false);
    calls[1]?.answer(true);
    expect(await put.done).toBe("id");
  });

  it("asks again if the checkpoint was put while the answer was on its way", async () => {
    const { calls, queue } = scripted();
    const added = queue.add(target, given("a"));
    const put = putting(queue);
    put.store();
    await put.done; // begun and ended before the answer comes, which is older
    calls[0]?.answer(false);
    await turn();
    expect(calls[1]?.tasks).toEqual(["a"]);
    calls[1]?.answer(true);
    await added;
  });

  it("asks again if a put has begun while the answer was on its way", async () => {
    const { calls, queue } = scripted();
    const added = queue.add(target, given("a"));
    const put = putting(queue);
    calls[0]?.answer(false);
    expect(await isSettled(added)).toBe(false);
    put.store();
    await put.done;
    await turn();
    calls[1]?.answer(true);
    await added;
  });

  it("keeps what is held when the put fails, for the next one", async () => {
    const { calls, queue } = scripted();
    const held = queue.add(target, given("held"));
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

  it("lets a put fail whose held writes can not be stored", async () => {
    const { calls, queue } = scripted();
    const held = queue.add(target, given("held"));
    calls[0]?.answer(false);
    await held;
    const put = putting(queue);
    put.store();
    await turn();
    calls[1]?.fail(new CheckpointError("UNAVAILABLE", "gone"));
    await expect(put.done).rejects.toThrow("gone");
    // What was acknowledged is held for whoever puts it again.
    const again = putting(queue);
    again.store();
    await turn();
    expect(calls[2]?.tasks).toEqual(["held"]);
    calls[2]?.answer(true);
    await again.done;
  });

  it("lets one held write that is refused take no other with it", async () => {
    const { calls, queue } = scripted();
    for (const task of ["good", "bad"]) {
      const held = queue.add(target, given(task));
      calls.at(-1)?.answer(false);
      await held;
    }
    const put = putting(queue);
    const outcome = put.done.catch((error: Error) => error.message);
    put.store();
    // However they are sent, together or by themselves.
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

  it("tries each alone when the storage refuses several for their own sake, and not when it is down", async () => {
    const { calls, queue } = scripted();
    const outcomes = async () => {
      const from = calls.length;
      const first = queue.add(target, given("first"));
      const others = ["good", "bad"].map((task) => queue.add(target, given(task)));
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
      const held = queue.add({ ...target, checkpointId }, { writes: [write(checkpointId)], bytes: 30_000_000 });
      calls[index]?.answer(false);
      await held;
    }
    const puts = ids.map((checkpointId) => queue.put({ ...target, checkpointId }, async () => checkpointId));
    await turn();
    expect(calls.slice(3).map(({ tasks }) => tasks)).toEqual([["middle"], ["newest"]]);
    for (const { answer } of calls) answer(true);
    await Promise.all(puts);
  });

  it("drops what is held of a thread that is deleted, and of no other", async () => {
    const { calls, queue } = scripted();
    const other = { ...target, threadId: "other" };
    for (const [index, of] of [target, other].entries()) {
      const held = queue.add(of, given("held"));
      calls[index]?.answer(false);
      await held;
    }
    await queue.settle("thread");
    await queue.put(target, async () => "id");
    expect(calls).toHaveLength(2);
    const put = queue.put(other, async () => "id");
    await turn();
    calls[2]?.answer(true);
    await put;
  });
});
