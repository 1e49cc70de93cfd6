import { sqlite } from "./databases.ts";
import { describeCompatibility } from "./describe-compatibility.ts";

describeCompatibility(sqlite);
