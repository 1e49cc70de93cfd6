import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";

export async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  return socket;
}

export async function reachable(url: string): Promise<boolean> {
  try {
    (await open(url)).destroy();
    return true;
  } catch {
    return false;
  }
}

/** Fulfilled when the other side has ended the connection, in whichever way. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
  });
}

/** Fulfilled when the file or folder is no longer there. */
export function gone(path: string): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (existsSync(path)) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(dirname(path), look);
    look();
  });
}
