import { onPostgres } from "./databases.ts";
import { describeCompatibility } from "./describe-compatibility.ts";

describeCompatibility(onPostgres);
