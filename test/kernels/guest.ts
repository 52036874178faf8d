// A virtual machine that takes commands: a kernel, a disk that all guests read and none changes, and cgroups of the version asked for. Ends with
// `end`, with a command that takes too long, or with this process; a guest that ends otherwise is an error with what its console said.
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Kernel } from './debian-kernel.ts';

export type Cgroups = 'v2' | 'v1';

export interface Machine {
  readonly kernel: Kernel;
  readonly cgroups: Cgroups;
  /** An ext4 file system: see disk.ts. */
  readonly disk: string;
  readonly accelerator: Accelerator;
}

export type Accelerator = 'kvm' | 'tcg';

export interface Answer {
  readonly status: number;
  /** Both streams. */
  readonly output: string;
}

const bootTimeoutMs = 60_000;
/** An emulated processor is that much slower. */
const slowness = { kvm: 1, tcg: 15 };

export class Guest {
  readonly #machine: Machine;
  readonly #directory: string;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  #received = Buffer.alloc(0);
  #errors = '';
  #ended = false;
  #heard: () => void = () => {};

  private constructor(machine: Machine, directory: string) {
    this.#machine = machine;
    this.#directory = directory;
    // A guest that outlived a killed run of the tests would run for ever.
    const command = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(machine, directory)];
    this.#process = spawn('setpriv', command, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stdout.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#heard();
    });
    this.#process.stderr.on('data', (text: Buffer) => {
      this.#errors += text;
    });
    this.#process.stdin.on('error', () => {});
    this.#process.once('error', (error) => this.#over(String(error))).once('close', () => this.#over(''));
  }

  static async boot(machine: Machine): Promise<Guest> {
    const directory = mkdtempSync(path.join(tmpdir(), 'tbuild-guest-'));
    makeInitramfs(machine.kernel, directory);
    const guest = new Guest(machine, directory);
    await guest.run('true', bootTimeoutMs);
    return guest;
  }

  /** One at a time. */
  async run(command: string, timeoutMs = 60_000): Promise<Answer> {
    this.#process.stdin.write(`${Buffer.from(command).toString('base64')}\n`);
    const until = Date.now() + timeoutMs * slowness[this.#machine.accelerator];
    for (;;) {
      const answer = this.#takeAnswer();
      if (answer !== undefined) return answer;
      if (this.#ended || Date.now() > until) {
        const why = this.#ended ? `the guest ended: ${this.#errors}` : `no end after ${timeoutMs} ms`;
        const console = this.console();
        this.end();
        throw new Error(`${why}\ncommand: ${command}\nconsole of ${this.#machine.kernel.release}:\n${console.slice(-8000)}`);
      }
      await this.#wait(until - Date.now());
    }
  }

  /** What the kernel said. */
  console(): string {
    return readFileSync(path.join(this.#directory, 'console'), 'utf8');
  }

  end(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #takeAnswer(): Answer | undefined {
    const line = this.#received.indexOf('\n');
    if (line < 0) return undefined;
    const [status, size] = this.#received.toString('latin1', 0, line).split(' ').map(Number);
    const end = line + 1 + (size ?? 0);
    if (this.#received.length < end) return undefined;
    const output = this.#received.toString('utf8', line + 1, end);
    this.#received = this.#received.subarray(end);
    return { status: status ?? -1, output };
  }

  #over(error: string): void {
    this.#errors += error;
    this.#ended = true;
    this.#heard();
  }

  #wait(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(timeoutMs, 1));
      this.#heard = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function qemuArguments({ kernel, cgroups, disk, accelerator }: Machine, directory: string): string[] {
  const parameters = ['console=ttyS0', 'quiet', 'panic=-1', 'hugepagesz=2M', 'hugepages=16', `tbuild.cgroups=${cgroups}`];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-nic', 'none'],
    ...[
      '-machine',
      'q35',
      '-accel',
      accelerator === 'tcg' ? 'tcg,thread=multi' : accelerator,
      '-cpu',
      'max',
      '-smp',
      '2',
      '-m',
      '2048',
    ],
    ...['-kernel', kernel.image, '-initrd', path.join(directory, 'initramfs'), '-append', parameters.join(' ')],
    ...['-drive', `file=${disk},format=raw,if=virtio,snapshot=on`],
    ...['-serial', `file:${path.join(directory, 'console')}`],
    ...['-device', 'virtio-serial-pci', '-chardev', 'stdio,id=commands,signal=off', '-device', 'virtserialport,chardev=commands'],
  ];
}

/** busybox, init.sh and the modules: as much as it takes to reach the disk. */
function makeInitramfs(kernel: Kernel, directory: string): void {
  const root = path.join(directory, 'initramfs.tree');
  for (const name of ['bin', 'dev', 'proc', 'root', 'sys']) mkdirSync(path.join(root, name), { recursive: true });
  cpSync(kernel.modules, path.join(root, 'modules'), { recursive: true });
  copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'));
  copyFileSync(path.join(import.meta.dirname, 'init.sh'), path.join(root, 'init'));
  const archive = execFileSync('sh', ['-c', 'find . | busybox cpio -o -H newc 2>/dev/null'], { cwd: root, maxBuffer: 1 << 28 });
  writeFileSync(path.join(directory, 'initramfs'), archive);
  rmSync(root, { recursive: true });
}
