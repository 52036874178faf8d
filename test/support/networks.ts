// What of networks is on this machine, as its own tools say it; and why a test of them cannot be made here.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { findNetavark } from '../../src/containers/networks/netavark.ts';

/** Undefined: they can. */
export function whyNoNetworks(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root makes bridges';
  return findNetavark() === undefined ? 'netavark is not installed (setup/setup.sh test installs it)' : undefined;
}

/** Names of the host's interfaces. */
export function interfaces(): string[] {
  const links = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' })) as { ifname: string }[];
  return links.map(({ ifname }) => ifname);
}

/** Rules that name an address, a subnet or a container's ID. */
export function rulesWith(text: string): string[] {
  const all = execFileSync('iptables-save', { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return all.split('\n').filter((line) => line.includes(text));
}

/** The answer to a datagram; undefined: none comes. */
export async function askByUdp(port: number, text: string, timeoutMs = 2000): Promise<string | undefined> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(undefined), timeoutMs);
      socket.once('message', (message) => {
        clearTimeout(timer);
        resolve(message.toString());
      });
      socket.once('error', reject);
      socket.send(text, port, '127.0.0.1');
    });
  } finally {
    socket.close();
  }
}
