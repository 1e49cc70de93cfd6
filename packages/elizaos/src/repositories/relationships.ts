import { updateRecords } from "@waymark/core/records";
import { checkLabels, checkObject, checkUuid } from "../checks.ts";
import type { Metadata, Relationship, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { fromJson, toJson } from "../json.ts";
import { labelsOf, labelsText } from "../labels.ts";
import { BY_AGE, compareAge } from "../orders.ts";
import { ALL } from "../pages.ts";
import { RELATIONSHIPS, type RelationshipRow } from "../tables.ts";
import { applySteps, insertNew } from "../writes.ts";

/** Relationships between entities: those of all agents. */
export class Relationships {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns `false` if this agent has one between the two already. */
  async createRelationship(params: {
    sourceEntityId: UUID;
    targetEntityId: UUID;
    tags?: readonly string[];
    metadata?: Metadata;
  }): Promise<boolean> {
    const { sourceEntityId, targetEntityId, tags, metadata } = checkObject("params", params);
    const row: RelationshipRow = {
      id: newId(),
      source: checkUuid("sourceEntityId", sourceEntityId),
      target: checkUuid("targetEntityId", targetEntityId),
      agent: this.#database.agentId,
      createdAt: Date.now(),
      ...contentOf(tags, metadata),
    };
    return await insertNew(this.#database, "create relationship", RELATIONSHIPS, row, "entity or agent");
  }

  /** Replaces the tags and the metadata. */
  async updateRelationship(relationship: Relationship): Promise<void> {
    const { id, tags, metadata } = checkObject("relationship", relationship);
    const where = { id: checkUuid("relationship.id", id) };
    const set = contentOf(tags, metadata);
    await applySteps(this.#database, "update relationship", [updateRecords(RELATIONSHIPS, where, set)]);
  }

  async getRelationship(params: { sourceEntityId: UUID; targetEntityId: UUID }): Promise<Relationship | null> {
    const { sourceEntityId, targetEntityId } = checkObject("params", params);
    const where = {
      source: checkUuid("sourceEntityId", sourceEntityId),
      target: checkUuid("targetEntityId", targetEntityId),
    };
    const [row] = await this.#database.run("get relationship", (records, signal) =>
      records.find(RELATIONSHIPS, { where, order: BY_AGE, limit: 1 }, signal),
    );
    return row === undefined ? null : relationshipOf(row);
  }

  /** Returns the relationships of an entity, whichever end it is, that have one of the tags; without tags all of them. */
  async getRelationships(params: { entityId: UUID; tags?: readonly string[] }): Promise<Relationship[]> {
    const { entityId, tags } = checkObject("params", params);
    const entity = checkUuid("entityId", entityId);
    const wanted = new Set(checkLabels("tags", tags));
    const rows = await this.#database.run("get relationships", async (records, signal) => [
      ...(await records.find(RELATIONSHIPS, { where: { source: entity }, limit: ALL }, signal)),
      ...(await records.find(
        RELATIONSHIPS,
        { where: { target: entity, source: { not: entity } }, limit: ALL },
        signal,
      )),
    ]);
    const relationships = rows.sort(compareAge).map(relationshipOf);
    return wanted.size === 0 ? relationships : relationships.filter((one) => one.tags.some((tag) => wanted.has(tag)));
  }
}

function contentOf(tags: unknown, metadata: unknown): Pick<RelationshipRow, "tags" | "metadata"> {
  return { tags: labelsText(checkLabels("tags", tags)), metadata: toJson("metadata", metadata || {}) };
}

function relationshipOf(row: RelationshipRow): Relationship {
  return {
    id: row.id as UUID,
    createdAt: new Date(row.createdAt).toISOString(),
    sourceEntityId: row.source as UUID,
    targetEntityId: row.target as UUID,
    agentId: row.agent as UUID,
    tags: labelsOf(row.tags),
    metadata: fromJson<Metadata>(row.metadata),
  };
}
