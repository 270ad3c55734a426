/**
 * Small file systems for tests: one in memory that is soon full, one on an image file whose copy is
 * what a power cut would leave. They need root; where that is missing the tests say so and skip.
 *
 * Invariant: whatever was mounted is unmounted and removed by `remove`, in the reverse order.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Attempts to unmount while a process that was just killed still holds a file. */
const UNMOUNT_ATTEMPTS = 20;

/** A mounted file system. */
export interface Mount {
  readonly path: string;
  /** Mounts it again with other options, such as "ro". */
  remount(options: string): void;
  remove(): void;
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
}

function unmount(path: string): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      run("umount", path);
      return;
    } catch (error) {
      if (attempt >= UNMOUNT_ATTEMPTS) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
}

function mounted(path: string): Mount {
  return {
    path,
    remount: (options) => run("mount", "-o", `remount,${options}`, path),
    remove: () => unmount(path),
  };
}

/** Mounts a file system in memory of so many bytes on a directory, which is made. */
export function mountMemory(path: string, byte_size: number): Mount {
  mkdirSync(path, { recursive: true });
  run("mount", "-t", "tmpfs", "-o", `size=${byte_size}`, "tmpfs", path);
  return mounted(path);
}

/** Why nothing can be mounted here, or null. `loop` asks for images too. */
export function findMountObstacle(kind: "memory" | "loop"): string | null {
  const directory = mkdtempSync(join(tmpdir(), "spanledger-mount-"));
  try {
    if (kind === "memory") mountMemory(join(directory, "m"), 1024 ** 2).remove();
    else
      makeImage(directory, 8 * 1024 ** 2)
        .mount("m")
        .remove();
    return null;
  } catch (error) {
    const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    return `nothing can be mounted here: ${stderr.trim() || String(error)}`.slice(0, 300);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A disk in a file. */
export interface Image {
  /** Mounts it on a directory of that name beside it. */
  mount(name: string): Mount;
  /**
   * A copy of what has reached the disk by now: what the page cache of the mounted file system still
   * holds is not in it. Whoever writes must stand still meanwhile.
   */
  copy(name: string): Image;
}

/** Makes an ext4 disk of so many bytes in a file of the directory. */
export function makeImage(directory: string, byte_size: number): Image {
  const path = join(directory, "disk.img");
  writeFileSync(path, "");
  truncateSync(path, byte_size);
  run("mkfs.ext4", "-q", "-F", path);
  return imageAt(directory, path);
}

function imageAt(directory: string, path: string): Image {
  return {
    mount(name) {
      const target = join(directory, name);
      mkdirSync(target, { recursive: true });
      run("mount", "-o", "loop", path, target);
      return mounted(target);
    },
    copy(name) {
      const target = join(directory, `${name}.img`);
      run("cp", "--sparse=always", path, target);
      return imageAt(directory, target);
    },
  };
}
