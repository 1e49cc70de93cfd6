import { onMariadb } from "./databases.ts";
import { describeCompatibility } from "./describe-compatibility.ts";

describeCompatibility(onMariadb);
