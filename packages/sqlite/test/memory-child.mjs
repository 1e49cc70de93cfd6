// A process with a memory: `node memory-child.mjs <task> <file>`.
import { createSQLiteMemory } from "../dist/memory/index.js";

const [task, databasePath] = process.argv.slice(2);
const memory = createSQLiteMemory({ databasePath });
const embedding = (text, at) => [text.length, at, 1, -1];
const embedder = (model) => ({
  model,
  dimensions: 4,
  embed: async (texts) => texts.map((text) => embedding(text, model.length)),
});

/** Adds items to an owner's thread, and tells the parent before it does. */
async function addSome(owner, count) {
  await memory.createThread({ owner, id: "t" }).catch(() => {}); // there may be one
  process.send("adding");
  const items = Array.from({ length: count }, (_, at) => {
    const text = `words of an item ${process.pid} ${at} ${"more ".repeat(at % 4)}`;
    return { owner, collection: "notes", text, threadId: "t", embedding: embedding(text, at) };
  });
  return await memory.addItems(items);
}

switch (task) {
  case "open": // when it is told to, so that many open at the same moment
    process.send("ready");
    process.once("message", async () => {
      const result = await memory.addItems([{ owner: "owner", collection: "notes", text: "one word" }]).then(
        () => "opened",
        (error) => error.message,
      );
      await memory.close();
      process.send(result, () => process.disconnect());
    });
    break;
  case "add for ever": // and change and delete some
    for (let round = 0; ; round++) {
      const added = await addSome("owner", 8);
      process.send(added.map(({ id }) => id));
      if (round % 2 === 1) await memory.updateItem("owner", added[0].id, { text: "changed words" }).catch(() => {});
      if (round % 3 === 2) await memory.deleteItems("owner", [added[1].id, added[2].id]);
    }
  case "re-embed for ever":
    for (let round = 0; ; round++) {
      const model = `model ${"x".repeat(round % 3)}`;
      const onProgress = () => process.send("re-embedding");
      const owned = { owner: "owner", collection: "notes", restart: true };
      const options = { ...owned, embedder: embedder(model), batchSize: 7, onProgress };
      await memory.reembed(options).catch(({ code }) => {
        if (code !== "NOT_FOUND" && code !== "CONTENTION") throw code;
      });
    }
  case "forget for ever":
    for (;;) {
      for (let batch = 0; batch < 4; batch++) await addSome("forgotten", 200);
      process.send("forgetting");
      await memory.forgetOwner("forgotten");
    }
}
