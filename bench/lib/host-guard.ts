/**
 * A host process outlives the xl that started it, and would outlive a benchmark or a test that is
 * killed. A guard is a process that sees that by a pipe, and does then what was not done.
 */
import { spawn } from 'node:child_process'
import { logName } from '../../src/node/run-folder.ts'

/** Arguments: the folder to remove, and the log in it. A host process that starts says its number
 * once it is ready. */
const SCRIPT = `
read -r nothing
for i in 1 2 3 4 5 6 7 8 9 10; do
  [ -e "$2" ] || break
  pid=$(sed -n 's/.* ready: .* pid //p' "$2")
  [ -z "$pid" ] || break
  sleep 1
done
[ -z "$pid" ] || kill -KILL "$pid"
rm -rf "$1"
`

/** Has the host process of a run folder end, and `folder` removed, if this process ends before the
 * result is called. */
export function guardHost(folder: string, runFolder: string): () => void {
  // In a session of its own it is not among those who are killed together.
  const guard = spawn('sh', ['-c', SCRIPT, 'guard', folder, `${runFolder}/${logName}`],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  guard.unref()
  const { stdin } = guard
  ;(stdin as unknown as { unref(): void }).unref()
  return () => void guard.kill('SIGKILL')
}
