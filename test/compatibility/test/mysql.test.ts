import { onMysql } from "./databases.ts";
import { describeCompatibility } from "./describe-compatibility.ts";

describeCompatibility(onMysql);
