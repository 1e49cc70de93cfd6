import { type Call, idOfRelationship } from "../calls.ts";
import { AGENTS } from "../material.ts";
import { call, dice, E, NOBODY, OTHER_E, OTHER_R, R, W } from "./ids.ts";

const [A] = AGENTS;

/** Calls about agents, participants, relationships, components and tasks that random ones make too seldom. */
export function rowCalls(): Call[] {
  const newAgent = dice.uuid();
  const components = dice.uuids(3);
  const component = { entityId: E, agentId: A, roomId: R, type: "t" };
  const settings = { a: { b: 1, c: [1, null] }, secrets: { key: "s" }, empty: {} };
  return [
    call(0, "createAgent", { id: A, name: "again", bio: [] }),
    call(0, "createAgent", { name: "without an id", bio: [] }),
    call(0, "updateAgent", A, { settings }),
    call(0, "updateAgent", A, { settings: { a: { b: null }, secrets: { key: null }, n: undefined } }),
    call(0, "getAgent", A),
    call(0, "getAgent", newAgent),
    call(1, "createAgent", { id: newAgent, name: "new", bio: [] }),
    call(0, "createAgent", { id: newAgent, name: "as new", bio: [] }),
    call(0, "createAgent", { id: newAgent, name: "again", bio: [] }),
    call(0, "deleteAgent", NOBODY),
    call(0, "updateAgent", NOBODY, { name: "nobody" }),
    call(0, "addParticipantsRoom", [E, OTHER_E, E], R),
    call(1, "addParticipant", E, R),
    call(0, "addParticipantsRoom", [E, NOBODY], R),
    call(0, "addParticipant", NOBODY, R),
    call(0, "setParticipantUserState", R, OTHER_E, "FOLLOWED"),
    call(0, "getParticipantUserState", R, OTHER_E),
    call(1, "getParticipantUserState", R, OTHER_E),
    call(0, "setParticipantUserState", R, OTHER_E, null),
    call(0, "getParticipantUserState", R, OTHER_E),
    call(0, "getParticipantsForRoom", R),
    call(0, "getParticipantsForEntity", E),
    call(0, "getRoomsForParticipant", E),
    call(0, "removeParticipant", E, R),
    call(0, "removeParticipant", E, R),
    call(0, "isRoomParticipant", R, E),
    call(0, "createRelationship", { sourceEntityId: E, targetEntityId: OTHER_E, tags: ["a"] }),
    call(1, "createRelationship", { sourceEntityId: E, targetEntityId: OTHER_E, tags: ["b"] }),
    call(1, "createRelationship", { sourceEntityId: E, targetEntityId: OTHER_E }),
    call(0, "updateRelationship", { id: idOfRelationship(A, E, OTHER_E), tags: ["c"], metadata: { x: 1 } }),
    call(0, "getRelationship", { sourceEntityId: E, targetEntityId: OTHER_E }),
    call(0, "getRelationships", { entityId: OTHER_E, tags: ["c", "d"] }),
    call(0, "updateRoom", { id: OTHER_R, name: "ours now" }),
    call(0, "getRoomsByIds", [R, OTHER_R]),
    call(1, "updateRoom", { id: OTHER_R, name: null }),
    call(1, "getRoomsByIds", [R, OTHER_R]),
    call(0, "getRoomsByIds", []),
    call(0, "getEntitiesByIds", []),
    call(0, "getMemoriesByIds", []),
    call(0, "getMemoriesByRoomIds", { roomIds: [], tableName: "facts" }),
    call(0, "getRoomsForParticipants", []),
    call(0, "deleteManyMemories", []),
    ...components.map((id) => call(0, "createComponent", { ...component, id, data: { id } })),
    // Its row is the last in the table from then on.
    call(0, "updateComponent", { id: components[0], data: { a: 1 } }),
    call(0, "getComponent", E, "t"),
    call(0, "getComponents", E, W),
    call(0, "createTask", { name: "t", tags: ["x"], worldId: W, metadata: { a: 1 } }),
    call(0, "getTasks", { tags: ["x"] }),
    call(1, "getTasks", {}),
  ];
}
