/**
 * xen-hptool: the command line, with this process's streams and the way to the host process.
 */
import { runHptool } from '../toolstack/cli/hptool.ts'
import { openRemote, runTool } from './tool.ts'

await runTool('xen-hptool', (words) => runHptool(words, {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  machine: openRemote,
}))
