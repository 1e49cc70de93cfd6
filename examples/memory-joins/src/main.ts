// Two users talk; then three reports join the application's table with those of memory.
//
//   node dist/main.js ./application.db

import { createConversationRepository } from "@waymark/sqlite/memory";
import { openApplication, users } from "./application.ts";
import { conversationsPerPlan, itemsPerUser, newestMessages } from "./reports.ts";

const application = await openApplication(process.argv[2] ?? ":memory:");
const { db, memory } = application;

const createdAt = new Date();
db.insert(users)
  .values([
    { id: "u1", name: "Ann", plan: "pro", createdAt },
    { id: "u2", name: "Ben", plan: "free", createdAt },
  ])
  .onConflictDoNothing()
  .run();

const conversations = createConversationRepository(memory);
await conversations.create({
  userId: "u1",
  title: "Sails",
  messages: [
    { role: "user", content: "How do I reef?" },
    { role: "assistant", content: "Ease the sheet first." },
  ],
});
await conversations.create({
  userId: "u2",
  title: "Knots",
  messages: [{ role: "user", content: "Which knot for fenders?" }],
});

console.table(newestMessages(db, 10));
console.table(itemsPerUser(db, "messages"));
console.table(conversationsPerPlan(db));
await application.close();
