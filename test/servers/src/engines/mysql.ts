import type { Engine } from "./engine.ts";
import { durableSettings, listenArgs, pathArgs, settings } from "./mysqld.ts";

export const mysql: Engine = {
  kind: "mysql",
  title: "MySQL",
  package: "mysql-server",
  program: {
    name: "mysqld",
    folder: "usr/sbin",
    // MariaDB's packages install an alias of this name.
    version: /Ver (\d+\.\d+\.\d+)(?!.*MariaDB)/,
    archive: {
      debian: { suite: "sid", package: "mysql-server-core" },
      ubuntu: { suite: "own", package: "^mysql-server-core(-[0-9.]+)?$" },
    },
  },
  container: { image: "mysql:8.4", port: 3306, environment: { MYSQL_ALLOW_EMPTY_PASSWORD: "yes" } },
  settings: [...settings, "--skip-log-bin", "--mysqlx=OFF"],
  durableSettings: [...durableSettings, "--skip-log-bin", "--mysqlx=OFF"],
  cleanUp: "",
  keepsDataFolder: true,
  adminUrl: (host, port) => `mysql://root@${host}:${port}/mysql`,
  versionQuery: "select version() as version",
  folderQuery: "select @@datadir as folder",
  isVersion: (version) => !version.includes("MariaDB"),
  async initialise(program, dataFolder) {
    const args = [...pathArgs(program, dataFolder), "--secure-file-priv=NULL", ...this.settings];
    // With the smallest redo log the folder is half as large. The server enlarges the log when it needs to.
    return { program: program.path, args: [...args, "--innodb-redo-log-capacity=8M", "--initialize-insecure"] };
  },
  limit: (maxConnections) => [`--max-connections=${maxConnections}`],
  serve(program, dataFolder, port) {
    const args = [...pathArgs(program, dataFolder), "--secure-file-priv=NULL", ...this.settings];
    return { program: program.path, args: [...args, ...listenArgs(port)] };
  },
};
