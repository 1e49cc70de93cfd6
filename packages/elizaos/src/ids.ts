import { IdClock } from "@waymark/core/records";
import type { UUID } from "./contract.ts";

const clock = new IdClock();

/** Makes an id for a row that is given none: ids of this process sort by the order in which they are made. */
export function newId(): UUID {
  return clock.next() as UUID;
}
