// A process as of an application: `node child.mjs <task> <JSON>`. It waits for a message, so that several begin at the same
// moment, and sends its result.

import { Runner } from "@openai/agents-core";
import { WaymarkRunStates, WaymarkSession } from "@waymark/openai-agents";
import { ScriptedModel, says, supportAgent } from "./agent.mjs";

const [task, json] = process.argv.slice(2);
const { options, sessionId, ...args } = JSON.parse(json);
const { createCheckpointStorage } = await import(`@waymark/${options.type}`);
const storage = createCheckpointStorage(options);
const session = new WaymarkSession({ storage, sessionId });

process.send("ready");
await new Promise((resolve) => process.once("message", resolve));
try {
  process.send({ result: await tasks()[task]() }, () => process.disconnect());
} catch (error) {
  process.send({ error: `${error.code ?? error.name}: ${error.message}` }, () => process.disconnect());
}
await storage.close();

function tasks() {
  return {
    async "add items"() {
      const { writer, count } = args;
      for (let item = 1; item <= count; item++)
        await session.addItems([{ role: "user", content: `${writer} ${item}` }]);
    },

    async "pop items"() {
      const popped = [];
      for (let item = 1; item <= args.count; item++) popped.push((await session.popItem())?.content ?? null);
      return popped;
    },

    async "apply transaction"() {
      await session.applyHistoryTransaction(args.transaction);
    },

    async "apply transaction and die"() {
      await session.applyHistoryTransaction(args.transaction);
      process.kill(process.pid, "SIGKILL"); // the answer is lost
      await new Promise(() => {});
    },

    async "apply transactions until killed"() {
      for (let turn = 1; ; turn++) {
        await session.applyHistoryTransaction({
          operationId: `turn ${turn}`,
          transaction: { type: "append_items", items: [{ role: "user", content: `turn ${turn}` }] },
        });
        process.send({ acknowledged: turn });
      }
    },

    async "approve and resume"() {
      const refunded = [];
      const model = new ScriptedModel([says("It is paid back.")]);
      const agent = supportAgent(model, refunded);
      const runs = new WaymarkRunStates({ storage, agentId: sessionId });
      const saved = await runs.load(agent);
      if (saved.name !== "waits") return { refunded }; // another process has decided, and runs it
      for (const interruption of saved.state.getInterruptions()) {
        if (args.decision === "approve") saved.state.approve(interruption);
        else saved.state.reject(interruption);
      }
      await runs.save(saved.state, { name: "decided", ifLatest: saved.id });
      const result = await new Runner().run(agent, saved.state, { session });
      return { finalOutput: result.finalOutput, refunded, asked: model.requests.map(({ input }) => input) };
    },
  };
}
