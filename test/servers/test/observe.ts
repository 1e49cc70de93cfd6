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

export async function isReachable(url: string): Promise<boolean> {
  try {
    (await open(url)).destroy();
    return true;
  } catch {
    return false;
  }
}

/** Waits until the other side has ended the connection, in any way. */
export function waitUntilClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
  });
}

/** Waits until the file or folder does not exist any more. */
export function waitUntilGone(path: string): Promise<void> {
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
