import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileError, KrylovError, rendered } from '../internal/errors.js'

function reason(error: unknown): ReturnType<typeof rendered> {
  return rendered(error instanceof Error ? error.message : String(error))
}

/**
 * Reads a whole file, also above the 2 GiB that `fs.readFile` allows.
 *
 * @param maxBytes a larger file is refused before any memory is taken for it
 */
export async function readFileBytes(path: string, maxBytes = Number.MAX_SAFE_INTEGER): Promise<Uint8Array> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'r')
    const status = await handle.stat()
    // Pipes and devices have no size to plan with.
    if (!status.isFile()) return await readFile(handle)
    if (status.size > maxBytes) {
      throw fileError(path, {}, `at most ${maxBytes} bytes`, rendered(`${status.size} bytes`))
    }
    const bytes = new Uint8Array(status.size)
    let filled = 0
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, Math.min(bytes.length - filled, 1 << 30), filled)
      // The file was cut while it was read: hand on what there is, the format's own checks will say what is missing.
      if (bytesRead === 0) return bytes.subarray(0, filled)
      filled += bytesRead
    }
    return bytes
  } catch (error) {
    if (error instanceof KrylovError) throw error
    throw fileError(path, {}, 'a readable file', reason(error), { cause: error })
  } finally {
    await handle?.close()
  }
}

async function writeAll(handle: FileHandle, chunks: Iterable<Uint8Array>): Promise<void> {
  for (const chunk of chunks) {
    let written = 0
    while (written < chunk.length) {
      const length = Math.min(chunk.length - written, 1 << 30)
      written += (await handle.write(chunk, written, length)).bytesWritten
    }
  }
}

/** Makes the new name itself durable. Some systems cannot open a folder; the file's own bytes are safe by then. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch {
    // The rename has happened and the content is on disk: nothing to undo and nothing the caller could do.
  } finally {
    await handle?.close()
  }
}

/**
 * Replaces a file as a whole: writes a temporary file in the same folder, flushes it to the disk, then renames it.
 * A reader sees the old or the new content, never a part. On any failure the temporary file is removed and an
 * existing file stays as it was. A symbolic link is followed, and an existing file's permissions are kept.
 */
export async function writeFileAtomically(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  let temporary: string | undefined
  try {
    const target = await realpath(path).catch(() => path)
    const existing = await stat(target).catch(() => undefined)
    const name = join(dirname(target), `.krylov-${randomBytes(8).toString('hex')}.tmp`)
    const handle = await open(name, 'wx', existing === undefined ? 0o666 : existing.mode & 0o777)
    temporary = name
    try {
      await writeAll(handle, chunks)
      if (existing !== undefined) await handle.chmod(existing.mode & 0o777)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(name, target)
    temporary = undefined
    await syncFolder(dirname(target))
  } catch (error) {
    if (temporary !== undefined) await unlink(temporary).catch(() => undefined)
    if (error instanceof KrylovError) throw error
    throw fileError(path, {}, 'a writable file', reason(error), { cause: error })
  }
}
