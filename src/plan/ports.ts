// EXPOSE: `80`, `8000-8002/udp`, `127.0.0.1:8080:80` → `80/tcp` and so on (BuildKit: dockerfile2llb/convert_expose.go).

import { isIP } from 'node:net';
import { dockerfileError } from '../dockerfile/errors.ts';

export function parsePorts(specifications: readonly string[]): string[] {
  return specifications.flatMap(parsePort);
}

function parsePort(specification: string): string[] {
  const parts = specification.split(':');
  const container = parts.pop()!;
  const host = parts.pop() ?? '';
  checkAddress(parts.join(':'));
  const { ports, protocol } = splitProtocol(container);
  const range = readRange(ports, 'containerPort');
  if (host !== '') {
    const hostRange = readRange(host, 'hostPort');
    const isOnePort = range.start === range.end;
    if (!isOnePort && range.end - range.start !== hostRange.end - hostRange.start) {
      throw wrong(`invalid ranges specified for container and host ports: ${ports} and ${host}`);
    }
  }
  return Array.from({ length: range.end - range.start + 1 }, (_, i) => `${range.start + i}/${protocol}`);
}

function checkAddress(address: string): void {
  const bare = /^\[(?<inside>.*)\]$/.exec(address)?.groups?.inside ?? address;
  if (bare !== '' && isIP(bare) === 0) throw wrong(`invalid IP address: ${address}`);
}

function splitProtocol(written: string): { ports: string; protocol: string } {
  const slash = written.indexOf('/');
  const ports = slash < 0 ? written : written.slice(0, slash);
  const protocol = (slash < 0 ? '' : written.slice(slash + 1)).toLowerCase() || 'tcp';
  if (ports === '') throw wrong(`no port specified: ${written}<empty>`);
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw wrong(`invalid proto: ${protocol}`);
  return { ports, protocol };
}

function readRange(written: string, what: string): { start: number; end: number } {
  const match = /^(?<start>\d{1,5})(?:-(?<end>\d{1,5}))?$/.exec(written);
  const start = Number(match?.groups?.start);
  const end = Number(match?.groups?.end ?? match?.groups?.start);
  if (!(start <= end && end <= 65_535)) throw wrong(`invalid ${what}: ${written}`);
  return { start, end };
}

const wrong = (message: string) => dockerfileError('expose', message);
