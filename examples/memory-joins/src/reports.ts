import { memoryItems, memorySpaces, memoryThreads } from "@waymark/sqlite/memory/schema";
import { and, count, desc, eq, gt, max } from "drizzle-orm";
import { type Application, users } from "./application.ts";

type Database = Application["db"];

/** The spaces of a collection: each is what one owner has in it. One that is being removed is left out. */
const isCollection = (name: string) => and(eq(memorySpaces.collection, name), eq(memorySpaces.removal, 0));

/** Reads the newest messages of all users, with who wrote them and where. */
export function newestMessages(db: Database, limit: number) {
  return db
    .select({
      user: users.name,
      plan: users.plan,
      thread: memoryThreads.title,
      role: memoryItems.role,
      text: memoryItems.text,
      createdAt: memoryItems.createdAt,
    })
    .from(memoryItems)
    .innerJoin(memorySpaces, eq(memorySpaces.number, memoryItems.space))
    .innerJoin(users, eq(users.id, memorySpaces.owner))
    .leftJoin(memoryThreads, and(eq(memoryThreads.owner, users.id), eq(memoryThreads.id, memoryItems.thread)))
    .where(and(isCollection("messages"), gt(memoryItems.expiresAt, Date.now())))
    .orderBy(desc(memoryItems.number))
    .limit(limit)
    .all();
}

/** Counts what each user has in a collection. A space knows the number of its items, so that nothing is counted here. */
export function itemsPerUser(db: Database, collection: string) {
  return db
    .select({ user: users.name, items: memorySpaces.items })
    .from(users)
    .leftJoin(memorySpaces, and(eq(memorySpaces.owner, users.id), isCollection(collection)))
    .orderBy(users.name)
    .all();
}

/** Counts the conversations of each plan, and tells when the last of them was used. */
export function conversationsPerPlan(db: Database) {
  return db
    .select({ plan: users.plan, conversations: count(), lastUsedAt: max(memoryThreads.updatedAt) })
    .from(memoryThreads)
    .innerJoin(users, eq(users.id, memoryThreads.owner))
    .where(eq(memoryThreads.kind, "conversation"))
    .groupBy(users.plan)
    .orderBy(users.plan)
    .all();
}

/** Deletes a user: memory first, so that a call that was interrupted can be repeated. */
export async function deleteUser({ db, memory }: Application, id: string): Promise<void> {
  await memory.forgetOwner(id);
  db.delete(users).where(eq(users.id, id)).run();
}
