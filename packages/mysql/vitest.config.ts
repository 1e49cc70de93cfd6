import { project } from "../../vitest.project.ts";

export default project({ servers: ["mysql", "mariadb", "mariadb-vector"] });
