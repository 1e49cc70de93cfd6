// A library of Markdown files in the terminal:
//
//   node dist/main.js ./library.db ann add library/*.md
//   node dist/main.js ./library.db ann list
//   node dist/main.js ./library.db ann find "How do I reef a sail?"
//   node dist/main.js ./library.db ann remove library/knots.md
//   node dist/main.js ./library.db ann forget

import { readFile } from "node:fs/promises";
import { createSQLiteMemory } from "@waymark/sqlite/memory";
import { createLibrary } from "./library.ts";
import { scriptedEmbedder } from "./scripted-embedder.ts";

const [databasePath = "./library.db", owner = "ann", command = "list", ...args] = process.argv.slice(2);

await using memory = createSQLiteMemory({
  databasePath,
  embedder: scriptedEmbedder,
  collections: { documents: { language: "en" } },
});
const library = createLibrary({
  memory,
  owner,
  onProgress: ({ id, done, total }) => console.log(`${id}: ${done} of ${total} parts`),
});

switch (command) {
  case "add":
    for (const path of args) {
      const markdown = await readFile(path, "utf8");
      const title = /^# (.+)$/m.exec(markdown)?.[1] ?? path;
      const { isNew, parts, removed } = await library.put({ id: path, title, markdown });
      console.log(`${title}: ${isNew ? "" : "as before, "}${parts} parts, ${removed} removed`);
    }
    break;
  case "find": {
    const hits = await library.find(args.join(" "));
    if (hits.length === 0) console.log("nothing found");
    for (const { item, score, before = [], after = [] } of hits) {
      console.log(`--- ${item.key} (${score.toFixed(2)})`);
      for (const { text } of [...before, item, ...after]) console.log(text);
    }
    break;
  }
  case "remove":
    for (const id of args) console.log((await library.remove(id)) ? `removed ${id}` : `there is no ${id}`);
    break;
  case "forget":
    console.log(await library.forget());
    break;
  case "list":
    for (const { id, title, items } of await library.list()) console.log(`${id}: ${title}, ${items} parts`);
    break;
  default:
    console.error(`expected add, list, find, remove or forget, got ${command}`);
    process.exitCode = 1;
}
